"""Assistants, threads, messages and runs name only files that are there, where files are kept."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.plugins.files.conftest import error_of, given, server_of

from famulus.testing import Script, ScriptedBackend, TestServer

pytestmark = pytest.mark.anyio

GONE = "file-gone"
TOOLS = {"tools": [{"type": "code_interpreter"}]}


def resources(*ids: str) -> dict[str, Any]:
    return {"tool_resources": {"code_interpreter": {"file_ids": ids}}}


def with_image(id: str) -> dict[str, Any]:
    text = {"type": "text", "text": "what is this?"}
    image = {"type": "image_file", "image_file": {"file_id": id}}
    return {"role": "user", "content": [text, image]}


def with_attachment(id: str) -> dict[str, Any]:
    tools = [{"type": "file_search"}]
    return {"role": "user", "content": "hi", "attachments": [{"file_id": id, "tools": tools}]}


@pytest.fixture
async def whole() -> AsyncIterator[TestServer]:
    backend = ScriptedBackend(Script().says("ok").forever())
    async with server_of("assistants", "threads", "models", "runs", backend=backend) as server:
        yield server


CASES: list[tuple[str, Any, str]] = [
    ("/v1/assistants", lambda id: {"model": "scripted", **TOOLS, **resources(id)}, "tool"),
    ("/v1/assistants/{assistant}", lambda id: resources(id), "tool"),
    ("/v1/threads", lambda id: resources(id), "tool"),
    ("/v1/threads/{thread}", lambda id: resources(id), "tool"),
    (
        "/v1/threads",
        lambda id: {"messages": [{"role": "user", "content": "x"}, with_image(id)]},
        "messages[1].content[1].image_file.file_id",
    ),
    ("/v1/threads/{thread}/messages", with_image, "content[1].image_file.file_id"),
    ("/v1/threads/{thread}/messages", with_attachment, "attachments[0].file_id"),
    (
        "/v1/threads/{thread}/runs",
        lambda id: {"assistant_id": "{assistant}", "additional_messages": [with_attachment(id)]},
        "additional_messages[0].attachments[0].file_id",
    ),
    (
        "/v1/threads/runs",
        lambda id: {"assistant_id": "{assistant}", "thread": {"messages": [with_image(id)]}},
        "thread.messages[0].content[1].image_file.file_id",
    ),
    (
        "/v1/threads/runs",
        lambda id: {"assistant_id": "{assistant}", "thread": resources(id)},
        "thread.tool_resources.code_interpreter.file_ids[0]",
    ),
    (
        "/v1/threads/runs",
        lambda id: {"assistant_id": "{assistant}", **resources(id)},
        "tool_resources.code_interpreter.file_ids[0]",
    ),
]


@pytest.mark.parametrize(("path", "body", "param"), CASES)
async def test_a_file_that_is_named_must_be_there(
    whole: TestServer, path: str, body: Any, param: str
) -> None:
    ids = {
        "assistant": (await whole.post("/v1/assistants", {"model": "scripted"})).json()["id"],
        "thread": (await whole.post("/v1/threads")).json()["id"],
    }
    param = "tool_resources.code_interpreter.file_ids[0]" if param == "tool" else param

    async def asked(file_id: str) -> Any:
        given = body(file_id)
        if given.get("assistant_id"):
            given["assistant_id"] = ids["assistant"]
        return await whole.post(path.format(**ids), given)

    said = f"No such File object: {GONE}"
    assert error_of(await asked(GONE)) == (param, None, said)
    other = await given(whole, project="other")
    assert error_of(await asked(other))[0] == param
    assert (await asked(await given(whole))).status_code == 200


async def test_a_message_keeps_naming_a_file_that_was_deleted(whole: TestServer) -> None:
    id = await given(whole)
    thread = (await whole.post("/v1/threads", {"messages": [with_attachment(id)]})).json()["id"]
    await whole.delete(f"/v1/files/{id}")
    [message] = (await whole.get(f"/v1/threads/{thread}/messages")).json()["data"]
    assert message["attachments"][0]["file_id"] == id
