"""Runs that are more urgent than others, as their clients say."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from famulus.testing import Script, tool

BOOK = {"type": "function", "function": {"name": "book_table"}}


async def created(api: Any, assistant: str, priority: int | None, **fields: Any) -> Any:
    """A run with that priority, on a thread of its own."""
    headers = {} if priority is None else {"X-Famulus-Priority": str(priority)}
    body = {"assistant_id": assistant, "thread": {}, **fields}
    return await api.ok(await api.server.post("/v1/threads/runs", body, headers=headers))


async def test_of_runs_that_wait_the_more_urgent_go_first_and_models_are_told(
    open_api: Any,
) -> None:
    go_on = asyncio.Event()
    script = Script().says("ok").waits_for(go_on).forever()
    async with open_api(script, settings={"runs_at_once_max": 1}) as api:
        assistant = await api.assistant()
        runs = [await created(api, assistant, None)]
        await api.backend.arrived()
        runs += [await created(api, assistant, priority) for priority in (5, None, -7, 0, -8)]
        go_on.set()
        assert {(await api.ended(run))["status"] for run in runs} == {"completed"}
        told = [chat.chat.priority for chat in api.backend.chats]
        assert told == [None, -8, -7, None, None, 5]


async def test_a_run_is_as_urgent_after_its_client_answered_it(open_api: Any) -> None:
    go_on = asyncio.Event()
    call = tool("book_table", {}, id="call_a")
    script = Script().calls(call).says("busy").waits_for(go_on).says("ok").forever()
    async with open_api(script, settings={"runs_at_once_max": 1}) as api:
        assistant = await api.assistant(tools=[BOOK])
        urgent = await api.ended(await created(api, assistant, -3))
        assert urgent["status"] == "requires_action"
        runs = [await created(api, assistant, None)]
        await api.backend.arrived(2)
        runs.append(await created(api, assistant, None))
        await api.ok(await api.submit(urgent, call_a="done"))
        go_on.set()
        assert {(await api.ended(run))["status"] for run in (*runs, urgent)} == {"completed"}
        told = [chat.chat.priority for chat in api.backend.chats]
        assert told == [-3, None, -3, None]


async def test_a_run_that_waits_for_its_thread_keeps_its_priority(open_api: Any) -> None:
    async with open_api(Script().calls(tool("book_table", {})).says("ok").forever()) as api:
        assistant = await api.assistant(tools=[BOOK])
        thread = await api.thread("hi")
        first = await api.ran(thread, assistant)
        assert first["status"] == "requires_action"
        headers = {"X-Famulus-Priority": "-2", "X-Famulus-On-Busy": "queue"}
        body = {"assistant_id": assistant}
        path = f"/v1/threads/{thread}/runs"
        second = await api.ok(await api.server.post(path, body, headers=headers))
        await api.ok(await api.cancel(first))
        assert (await api.ended(second))["status"] == "completed"
        assert [chat.chat.priority for chat in api.backend.chats] == [None, -2]


@pytest.mark.parametrize("asked", ["high", "", "1.5", "1001", "-1001", "1e3", "--1"])
async def test_what_is_no_priority_is_refused(open_api: Any, asked: str) -> None:
    async with open_api(Script().says("ok")) as api:
        body = {"assistant_id": await api.assistant(), "thread": {}}
        headers = {"X-Famulus-Priority": asked}
        refused = await api.server.post("/v1/threads/runs", body, headers=headers)
        assert refused.status_code == 400
        assert refused.json()["error"]["param"] == "X-Famulus-Priority"
        assert "from -1000 to 1000" in refused.json()["error"]["message"]
