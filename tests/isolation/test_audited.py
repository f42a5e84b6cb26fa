"""Every operation that changes something leaves exactly one event of its own in the audit log.

The operations are read from the server's own document: one that is added is asked, or fails.
"""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.isolation.tenants import (
    FUNCTION,
    Tenant,
    installed_document,
    planned_document,
    two_tenants,
)

from famulus_schemas.identity import SYSTEM_PROJECT

pytestmark = pytest.mark.anyio

Json = dict[str, Any]

NOT_AUDITED = {
    "create_chat_completion": "relayed to a model: it is used, and nothing here is changed",
    "create_completion": "likewise",
    "create_embedding": "likewise",
    "search_vector_store": "finds, and changes nothing",
    "delete_model": "always refused: models are not a project's to delete",
}
"""Operations of methods that mostly change something, and why these leave no event."""

TEXT = {"role": "user", "content": "Hello."}
UPLOAD = {"filename": "a.txt", "bytes": 5, "mime_type": "text/plain", "purpose": "assistants"}
FILE = {"files": {"file": ("a.txt", b"words")}}
PART = {"files": {"data": ("part", b"words")}}
ASSISTANT = {"model": "scripted", "tools": [FUNCTION]}
SPEND = {"currency": "USD", "interval": "month", "threshold_amount": 100}
PURPOSE = {"data": {"purpose": "assistants"}}
METADATA = {"json": {"metadata": {"a": "b"}}}

ASKED: dict[str, tuple[str, Json]] = {
    "create_assistant": ("assistant.created", {"json": ASSISTANT}),
    "modify_assistant": ("assistant.updated", METADATA),
    "delete_assistant": ("assistant.deleted", {}),
    "create_container": ("container.created", {"json": {"name": "c"}}),
    "delete_container": ("container.deleted", {}),
    "create_container_file": ("container_file.created", FILE),
    "delete_container_file": ("container_file.deleted", {}),
    "create_file": ("file.created", FILE | PURPOSE),
    "delete_file": ("file.deleted", {}),
    "create_admin_api_key": ("api_key.created", {"json": {"name": "k"}}),
    "delete_admin_api_key": ("api_key.deleted", {}),
    "create_project": ("project.created", {"json": {"name": "p"}}),
    "modify_project": ("project.updated", {"json": {"name": "q"}}),
    "archive_project": ("project.archived", {}),
    "modify_project_api_key": ("api_key.updated", {"json": {"scopes": ["api.threads.read"]}}),
    "delete_project_api_key": ("api_key.deleted", {}),
    "create_project_service_account": ("service_account.created", {"json": {"name": "s"}}),
    "modify_project_service_account": ("service_account.updated", {"json": {"name": "t"}}),
    "delete_project_service_account": ("service_account.deleted", {}),
    "update_spend_limit": ("spend_limit.updated", {"json": SPEND}),
    "delete_spend_limit": ("spend_limit.deleted", {}),
    "update_project_spend_limit": ("spend_limit.updated", {"json": SPEND}),
    "delete_project_spend_limit": ("spend_limit.deleted", {}),
    "update_project_rate_limit": (
        "rate_limit.updated",
        {"json": {"max_requests_per_1_minute": 1_000}},
    ),
    "create_thread": ("thread.created", {"json": {"messages": [TEXT]}}),
    "create_thread_and_run": ("run.created", {"json": {"thread": {"messages": [TEXT]}}}),
    "modify_thread": ("thread.updated", METADATA),
    "delete_thread": ("thread.deleted", {}),
    "create_message": ("message.created", {"json": TEXT}),
    "modify_message": ("message.updated", METADATA),
    "delete_message": ("message.deleted", {}),
    "create_run": ("run.created", {"json": {}}),
    "modify_run": ("run.updated", METADATA),
    "cancel_run": ("run.cancelled", {}),
    "submit_tool_outputs_to_run": (
        "run.tool_outputs_submitted",
        {"json": {"tool_outputs": [{"tool_call_id": "call_1", "output": "x"}]}},
    ),
    "create_upload": ("upload.created", {"json": UPLOAD}),
    "cancel_upload": ("upload.cancelled", {}),
    "complete_upload": ("upload.completed", {"json": {}}),
    "add_upload_part": ("upload_part.created", PART),
    "create_vector_store": ("vector_store.created", {"json": {"name": "v"}}),
    "modify_vector_store": ("vector_store.updated", {"json": {"name": "w"}}),
    "delete_vector_store": ("vector_store.deleted", {}),
    "create_file_batch": ("vector_store_file_batch.created", {"json": {}}),
    "cancel_file_batch": ("vector_store_file_batch.cancelled", {}),
    "create_vector_store_file": ("vector_store_file.created", {"json": {}}),
    "modify_vector_store_file": (
        "vector_store_file.updated",
        {"json": {"attributes": {"a": "b"}}},
    ),
    "delete_vector_store_file": ("vector_store_file.deleted", {}),
}
"""The event of each other operation, and what it is asked with besides ids."""

BESIDES = {
    "create_project_service_account": ["api_key.created"],
    "create_thread_and_run": ["thread.created"],
    "delete_project_service_account": ["api_key.deleted"],
    "complete_upload": [],
}
"""What some operations change on their way, each of which is told by another event."""

OF_BODY = {
    "create_run": {"assistant_id": "assistant"},
    "create_thread_and_run": {"assistant_id": "assistant"},
    "complete_upload": {"part_ids": "part"},
    "create_file_batch": {"file_ids": "picture"},
    "create_vector_store_file": {"file_id": "picture"},
}
"""Ids in bodies."""

WAITS = ("cancel_run", "submit_tool_outputs_to_run")
"""What can only be done to a run that waits for its client."""


def mutating(document: Json) -> dict[str, tuple[str, str]]:
    """Method and path of each operation that may change something."""
    return {
        entry["operationId"]: (method.upper(), path)
        for path, methods in document["paths"].items()
        for method, entry in methods.items()
        if method in ("post", "put", "patch", "delete")
    }


with tempfile.TemporaryDirectory() as folder:
    OPERATIONS = mutating(planned_document(Path(folder)))


class House:
    """A server with a project in it, and an administrator."""

    def __init__(self, tenant: Tenant, admin: Tenant) -> None:
        self.tenant = tenant
        self.admin = admin

    async def ids(self, *, waits: bool) -> dict[str, str]:
        """One of everything, by the names that paths have for it."""
        made = dict((await self.tenant.things(waits=waits)).ids)
        made |= {f"{thing}_id": id for thing, id in made.items()}
        made["vector_store_id"] = made["store"]
        project = (await self.admin.made("/organization/projects", {"name": "p"}))["id"]
        where = f"/organization/projects/{project}/service_accounts"
        account = await self.admin.made(where, {"name": "s"})
        key = await self.admin.made("/organization/admin_api_keys", {"name": "k"})
        made |= {"project_id": project, "service_account_id": account["id"]}
        made |= {"api_key_id": account["api_key"]["id"], "key_id": key["id"], "model": "scripted"}
        made["rate_limit_id"] = "rl-scripted"
        return made

    async def batch_in_progress(self, store: str) -> str:
        """A batch of files that take their time to be read."""
        long = {"file": ("long.txt", b"Many words, and more of them. " * 50_000)}
        files = [await self.tenant.made("/files", files=long, **PURPOSE) for _ in range(3)]
        wanted = {"file_ids": [file["id"] for file in files]}
        return str((await self.tenant.made(f"/vector_stores/{store}/file_batches", wanted))["id"])

    async def ask(self, operation: str, more: Json, ids: dict[str, str]) -> httpx.Response:
        """The answer to an operation that is sent to these."""
        method, path = OPERATIONS[operation]
        if "/containers/" in path:
            ids = ids | {"file_id": ids["container_file"]}
        of_body = {
            name: [ids[thing]] if name.endswith("s") else ids[thing]
            for name, thing in OF_BODY.get(operation, {}).items()
        }
        if of_body:
            more = more | {"json": {**more["json"], **of_body}}
        by = self.admin if path.startswith("/v1/organization") else self.tenant
        return await by.ask(method, path.format(**ids), **more)

    async def events(self, request_id: str) -> list[Json]:
        """What the log has of a request, oldest first."""
        path = "/v1/organization/audit_logs?limit=100"
        listed = (await self.admin.ask("GET", path)).json()["data"]
        return [each for each in listed if each["request_id"] == request_id][::-1]


@pytest.fixture(scope="module")
async def house(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    async with two_tenants(tmp_path_factory.mktemp("audited")) as (tenant, _):
        _, token = await tenant.server.plugin("keys").create(project=SYSTEM_PROJECT)
        yield House(tenant, Tenant(tenant.server, tenant.backend, "system", token))


@pytest.mark.parametrize("operation", sorted(OPERATIONS))
async def test_a_change_leaves_exactly_one_event_of_its_own(house: House, operation: str) -> None:
    if operation in NOT_AUDITED:
        return
    assert operation in ASKED, f"which event does {operation} leave? Say so in ASKED"
    type, more = ASKED[operation]
    ids = await house.ids(waits=operation in WAITS)
    if operation == "cancel_file_batch":
        ids["batch_id"] = await house.batch_in_progress(ids["store"])
    if operation.startswith("delete") and operation.endswith("spend_limit"):
        before = await house.ask(operation.replace("delete", "update"), {"json": SPEND}, ids)
        assert before.status_code == 200, before.text
    answer = await house.ask(operation, more, ids)
    assert answer.status_code == 200, answer.text
    events = await house.events(answer.headers["x-request-id"])
    assert sorted(event["type"] for event in events) == sorted([type, *BESIDES.get(operation, [])])
    [event] = [event for event in events if event["type"] == type]
    made = answer.json()
    assert event[type]["id"] == made.get("id", event[type]["id"])
    by = house.admin if "organization" in OPERATIONS[operation][1] else house.tenant
    assert event["actor"]["api_key"]["id"] in {key.id for key in await keys_of(by)}
    assert event["result"] == "success"


@pytest.mark.parametrize("operation", sorted(NOT_AUDITED))
async def test_what_changes_nothing_leaves_none(house: House, operation: str) -> None:
    ids = await house.ids(waits=False)
    body = {"model": "scripted", "messages": [TEXT], "prompt": "x", "input": "x", "query": "x"}
    method, path = OPERATIONS[operation]
    answer = await house.tenant.ask(
        method, path.format(**ids), **({"json": body} if method == "POST" else {})
    )
    assert await house.events(answer.headers["x-request-id"]) == []


async def test_what_is_refused_leaves_no_change_in_the_log(house: House) -> None:
    refused = await house.tenant.ask("POST", "/v1/threads/thread_nowhere", **METADATA)
    assert refused.status_code == 404
    assert await house.events(refused.headers["x-request-id"]) == []


def test_all_that_is_installed_is_asked() -> None:
    assert mutating(installed_document()) == OPERATIONS


def test_no_exception_outlives_its_operation() -> None:
    assert ASKED.keys() | NOT_AUDITED.keys() == OPERATIONS.keys()
    assert BESIDES.keys() | OF_BODY.keys() <= ASKED.keys()


async def keys_of(tenant: Tenant) -> list[Any]:
    """The keys of a tenant's project."""
    found = tenant.server.plugin("keys").store.all()
    return [key async for _, key in found]
