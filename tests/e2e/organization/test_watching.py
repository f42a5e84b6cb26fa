"""What whoever runs both processes sees of all that happens there: figures, lines and events."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import openai
import pytest
from tests.e2e.organization.organization import ADMIN_KEY, Organization, eventually

SETTINGS = {"FAMULUS_SERVER__CORS_ORIGINS": "https://app.example.com"}


def test_each_process_counts_what_was_asked_of_itself(organization: Organization) -> None:
    one, two = organization.processes
    created = {"operation": "create_thread", "status": "2xx"}
    for at, times in ((one, 3), (two, 5)):
        before = organization.figure(at, "famulus_requests_total", **created)
        client = organization.client(organization.writer, at)
        for _ in range(times):
            client.beta.threads.create(messages=[{"role": "user", "content": "canary"}])
        counted(organization, before + times, at, "famulus_requests_total", **created)


def test_what_is_refused_is_counted_by_its_status(organization: Organization) -> None:
    two = organization.two
    refused = {"operation": "create_thread", "status": "4xx"}
    before = organization.figure(two, "famulus_requests_total", **refused)
    with pytest.raises(openai.PermissionDeniedError):
        organization.client(organization.reader, two).beta.threads.create()
    counted(organization, before + 1, two, "famulus_requests_total", **refused)


def test_a_request_has_one_line_at_the_process_that_served_it_and_none_at_the_other(
    organization: Organization,
) -> None:
    key, two = organization.writer, organization.two
    told = organization.ask(
        "GET", "/v1/assistants", key, two, headers={"x-request-id": "req-of-a-developer-1"}
    )
    assert told.headers["x-request-id"] == "req-of-a-developer-1"
    [line] = eventually(lambda: organization.lines(two, request_id="req-of-a-developer-1"))
    assert (line["operation"], line["method"], line["status"]) == ("list_assistants", "GET", 200)
    assert (line["principal"], line["project"]) == (key.account, key.project)
    assert organization.lines(organization.one, request_id="req-of-a-developer-1") == []


def test_a_request_id_that_looks_like_a_key_is_no_line_of_the_log(
    organization: Organization,
) -> None:
    value = organization.biller.value
    told = organization.ask(
        "GET", "/v1/models", organization.biller, headers={"x-request-id": value}
    )
    assert told.headers["x-request-id"] == value
    served = {"operation": "list_models", "project": organization.billing}
    [line] = eventually(lambda: organization.lines(organization.one, **served))
    assert value not in str(line)
    assert "[redacted]" in line["request_id"]


def test_who_changed_what_at_which_process_is_one_event_that_both_tell(
    organization: Organization,
) -> None:
    here = organization.client(organization.writer, organization.one)
    there = organization.client(organization.writer, organization.two)
    made = here.beta.assistants.create(model="scripted", name="canary", instructions="canary")
    there.beta.assistants.update(made.id, instructions="another canary")
    there.beta.assistants.delete(made.id)
    for at in organization.processes:
        events = of_resource(organization.admin(at), made.id)
        types = ["assistant.deleted", "assistant.updated", "assistant.created"]
        assert [event.type for event in events] == types
        assert {event.actor.api_key.id for event in events} == {organization.writer.id}
        assert {event.project.id for event in events} == {organization.support}
        assert len({event.id for event in events}) == len(events)


def test_a_key_that_comes_and_goes_leaves_one_event_for_each(organization: Organization) -> None:
    key = organization.key(organization.billing, "short-lived", at=organization.one)
    api_keys = organization.admin(organization.two).projects.api_keys
    api_keys.delete(key.id, project_id=key.project)
    for at in organization.processes:
        events = of_resource(organization.admin(at), key.id)
        assert [event.type for event in events] == ["api_key.deleted", "api_key.created"]
        assert key.value not in str(events)


def test_a_wrong_key_and_a_missing_scope_are_events_too(organization: Organization) -> None:
    organization.ask("GET", "/v1/models", "sk-canary-canary-canary", organization.two)
    organization.ask("DELETE", "/v1/threads/thread_x", organization.reader, organization.one)
    logs = organization.admin(organization.one).audit_logs

    def told(kind: str) -> Callable[[], Any]:
        return lambda: logs.list(event_types=[kind]).data  # type: ignore[list-item]

    assert eventually(told("login.failed"))
    refused = eventually(told("access.refused"))
    assert organization.reader.id in [event.actor.api_key.id for event in refused]


def test_no_key_of_a_project_reads_the_audit_log(organization: Organization) -> None:
    for at in organization.processes:
        for key in (organization.writer, organization.biller):
            told = organization.ask("GET", "/v1/organization/audit_logs", key, at)
            assert told.status_code == 403


def test_a_process_answers_to_its_own_name_only(organization: Organization) -> None:
    for at in organization.processes:
        headers = {"host": "evil.example"}
        told = organization.ask("GET", "/v1/models", organization.writer, at, headers=headers)
        assert told.status_code == 421
        assert "evil.example" in told.json()["error"]["message"]


def test_a_page_of_the_listed_origin_may_ask_and_no_other(organization: Organization) -> None:
    for at in organization.processes:
        allowed = {
            origin: organization.ask(
                "OPTIONS",
                "/v1/models",
                None,
                at,
                headers={"origin": origin, "access-control-request-method": "GET"},
            ).headers.get("access-control-allow-origin")
            for origin in ("https://app.example.com", "https://evil.example")
        }
        assert allowed == {
            "https://app.example.com": "https://app.example.com",
            "https://evil.example": None,
        }


def test_both_are_healthy_and_say_what_runs_in_them(organization: Organization) -> None:
    for at in organization.processes:
        ready = organization.ask("GET", "/health/ready", None, at)
        assert ready.status_code == 200
        plugins = organization.ask("GET", "/-/plugins", ADMIN_KEY, at).json()["data"]
        states = {each["name"]: each["state"] for each in plugins}
        assert {states[name] for name in ("postgres", "redis", "keys", "audit")} == {"running"}


def counted(organization: Organization, value: float, at: Any, name: str, **labels: str) -> None:
    """Wait until a figure has this value: what is counted is heard a moment later."""
    eventually(lambda: organization.figure(at, name, **labels) == value)


def of_resource(admin: Any, id: str) -> list[Any]:
    """The events of one thing, the newest first."""
    return list(admin.audit_logs.list(resource_ids=[id]).data)
