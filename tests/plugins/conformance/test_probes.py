"""Probes pass a server that is whole, and see each thing that is broken on purpose."""

from __future__ import annotations

from typing import Any

import pytest

from famulus_conformance.findings import Finding
from famulus_conformance.probing import probe
from famulus_conformance.verdict import judged as judged_findings

pytestmark = pytest.mark.anyio

ASSISTANT = "/v1/assistants"


async def broken(oracle: Any, target: Any, *groups: str) -> list[Finding]:
    found = judged_findings(await probe(oracle, target, only=groups))
    return [each.finding for each in found if each.standing == "broken"]


def said(findings: list[Finding]) -> set[str]:
    return {f"{each.operation} {each.aspect}: {each.what}" for each in findings}


GROUPS = ("assistants", "threads", "messages", "run_steps", "models", "chat", "embeddings")


async def test_our_server_is_as_it_should_be(oracle, judged):
    async with judged() as target:
        assert await broken(oracle, target, *GROUPS) == []
        assert target.asked > 500


async def test_a_property_that_is_dropped_is_missed(oracle, judged):
    def alter(method: str, path: str, status: int, body: Any) -> tuple[int, Any]:
        if method == "POST" and path == ASSISTANT and status == 200:
            del body["instructions"]
        return status, body

    async with judged(alter) as target:
        findings = said(await broken(oracle, target, "assistants"))
    assert "createAssistant properties: response.instructions" in findings
    assert not any(each.startswith("modifyAssistant") for each in findings)


async def test_a_wrong_word_and_a_wrong_type_are_seen(oracle, judged):
    def alter(method: str, path: str, status: int, body: Any) -> tuple[int, Any]:
        if status == 200 and path.startswith("/v1/threads"):
            body |= {"object": "topic"} if method == "POST" else {"created_at": "today"}
        return status, body

    async with judged(alter) as target:
        findings = said(await broken(oracle, target, "threads"))
    assert "createThread properties: response.object" in findings
    assert "getThread properties: response.created_at" in findings


async def test_a_property_that_is_not_told_back_is_seen(oracle, judged):
    def alter(method: str, path: str, status: int, body: Any) -> tuple[int, Any]:
        if path == ASSISTANT and method == "POST" and status == 200:
            body["temperature"] = 0.7
        return status, body

    async with judged(alter) as target:
        findings = said(await broken(oracle, target, "assistants"))
    assert "createAssistant properties: body.temperature: number" in findings


async def test_a_limit_that_is_not_kept_is_seen(oracle, judged):
    """The limits of metadata are in neither oracle; the overlay has them from OpenAI's text."""

    def alter(method: str, path: str, status: int, body: Any) -> tuple[int, Any]:
        if status == 400 and str(body["error"]["param"]).startswith("metadata"):
            return 200, {"id": "thread_1", "object": "thread", "created_at": 1, "metadata": {}}
        return status, body

    async with judged(alter) as target:
        findings = said(await broken(oracle, target, "threads"))
    assert "createThread limits: body.metadata: maxProperties 16" in findings
    assert "createThread limits: body.metadata.key: maxLength 64" in findings
    assert "createThread limits: body.metadata.value: maxLength 512" in findings


async def test_a_limit_of_a_query_that_names_another_parameter_is_seen(oracle, judged):
    def alter(method: str, path: str, status: int, body: Any) -> tuple[int, Any]:
        if status == 400 and body["error"]["param"] == "limit":
            body["error"]["param"] = "page"
        return status, body

    async with judged(alter) as target:
        findings = said(await broken(oracle, target, "assistants"))
    assert "listAssistants limits: query.limit: maximum 100" in findings


async def test_a_bare_error_is_seen_in_every_operation(client_oracle, judged):
    def alter(method: str, path: str, status: int, body: Any) -> tuple[int, Any]:
        return status, body if status == 200 else {"detail": "wrong"}

    async with judged(alter) as target:
        findings = said(await broken(client_oracle, target, "assistants"))
    for id in ("listAssistants", "createAssistant", "getAssistant", "deleteAssistant"):
        assert f"{id} errors: 401 without a key" in findings
    assert "getAssistant errors: 404 for an unknown assistant_id" in findings
    assert "createAssistant errors: 400 for an unknown parameter" in findings
    assert "createAssistant errors: 400 for a missing model" in findings
    assert "createAssistant errors: 400 for invalid JSON" in findings


async def test_an_envelope_without_param_or_code_is_seen(client_oracle, judged):
    def alter(method: str, path: str, status: int, body: Any) -> tuple[int, Any]:
        if status == 401:
            del body["error"]["code"]
        if status == 404:
            body["error"]["message"] = "never heard of it"
        return status, body

    async with judged(alter) as target:
        findings = said(await broken(client_oracle, target, "models"))
    assert "retrieveModel errors: 401 with a wrong key" in findings
    assert "retrieveModel errors: 404 for an unknown model" in findings


async def test_a_wrong_key_that_is_let_in_is_seen(client_oracle, judged):
    def alter(method: str, path: str, status: int, body: Any) -> tuple[int, Any]:
        return (200, {"object": "list", "data": []}) if status == 401 else (status, body)

    async with judged(alter) as target:
        findings = said(await broken(client_oracle, target, "models"))
    assert "listModels errors: 401 without a key" in findings
    assert "listModels errors: 401 with a wrong key" in findings


async def test_an_address_that_is_made_to_wait_for_its_wrong_keys_is_refused_well(
    client_oracle, judged
):
    def alter(method: str, path: str, status: int, body: Any) -> tuple[int, Any]:
        if status == 401 and body["error"]["code"] == "invalid_api_key":
            is_bare = method == "GET" and path.startswith("/v1/models/")
            code = None if is_bare else "rate_limit_exceeded"
            return 429, {"error": {**body["error"], "type": "requests", "code": code}}
        return status, body

    async with judged(alter) as target:
        findings = said(await broken(client_oracle, target, "models"))
    found = [each for each in findings if "with a wrong key" in each]
    assert found == ["retrieveModel errors: 401 with a wrong key"]


async def test_an_operation_that_fails_is_served_and_not_implemented(client_oracle, judged):
    def alter(method: str, path: str, status: int, body: Any) -> tuple[int, Any]:
        return (500, {"error": {}}) if path.startswith("/v1/models/") else (status, body)

    async with judged(alter) as target:
        findings = await broken(client_oracle, target, "models")
    assert "retrieveModel implemented: 200" in said(findings)
    assert "deleteModel implemented: a refusal" in said(findings)


async def test_what_is_not_served_is_told_as_that(client_oracle, judged):
    async with judged() as target:
        found = judged_findings(await probe(client_oracle, target, only=["skills"]))
    assert {each.standing for each in found} == {"not served"}
    assert len(found) == 6


async def test_what_is_served_and_no_probe_knows_is_not_passed(client_oracle, judged):
    def alter(method: str, path: str, status: int, body: Any) -> tuple[int, Any]:
        return (200, {"object": "list", "data": []}) if path == "/v1/skills" else (status, body)

    async with judged(alter) as target:
        findings = said(await broken(client_oracle, target, "skills"))
    assert "ListSkills implemented: 200" in findings
