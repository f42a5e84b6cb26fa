"""Runs outlive the process that began them."""

from __future__ import annotations

import asyncio
from typing import Any

from famulus.testing import Script, tool


async def test_a_half_written_message_is_written_again_under_its_id(open_api: Any) -> None:
    never = asyncio.Event()
    script = Script().says("Half of it").waits_for(never, after=2)
    async with open_api(script, settings={"finish_s": 0.0}) as api:
        assistant = await api.assistant()
        thread = await api.thread("hi")
        run = await api.run(thread, assistant)
        while not await api.messages(thread, run_id=run["id"]):
            await asyncio.sleep(0.002)
        (begun,) = await api.messages(thread, run_id=run["id"])
    async with open_api(Script().says("All of it")) as api:
        ended = await api.ended(run)
        assert ended["status"] == "completed"
        (message,) = await api.messages(thread, run_id=run["id"])
        assert message["id"] == begun["id"]
        assert message["content"][0]["text"]["value"] == "All of it"
        (step,) = await api.steps(run)
        assert step["status"] == "completed"


async def test_tool_outputs_that_are_there_are_not_made_again(open_api: Any) -> None:
    never = asyncio.Event()
    weather = {"type": "function", "function": {"name": "get_weather"}}
    script = Script().calls(tool("get_weather", {}, id="call_w")).says("x").waits_for(never)
    async with open_api(script, settings={"finish_s": 0.0}) as api:
        assistant = await api.assistant(tools=[weather])
        thread = await api.thread("hi")
        run = await api.run(thread, assistant)
        await api.backend.arrived(2)
    async with open_api(Script().says("Sunny.")) as api:
        assert (await api.ended(run))["status"] == "completed"
        assert len(api.backend.chats) == 1
        shown = api.backend.chats[0].chat.messages
        assert [(m.role, m.content) for m in shown][-1] == ("tool", "sunny")
        calls, _ = await api.steps(run)
        assert [call["id"] for call in calls["step_details"]["tool_calls"]] == ["call_w"]


async def test_a_run_that_waits_for_its_client_survives_as_it_is(open_api: Any) -> None:
    book = {"type": "function", "function": {"name": "book_table"}}
    async with open_api(Script().calls(tool("book_table", {}, id="call_a"))) as api:
        thread = await api.thread("hi")
        run = await api.ran(thread, await api.assistant(tools=[book]))
        assert run["status"] == "requires_action"
    async with open_api(Script().says("Booked.")) as api:
        again = await api.ended(run)
        assert again == run
        await api.ok(await api.submit(run, call_a="ok"))
        assert (await api.ended(run))["status"] == "completed"


async def test_a_run_that_every_worker_dies_of_fails_with_the_reason(open_api: Any) -> None:
    never = asyncio.Event()
    hanging = Script().says("x").waits_for(never).forever()
    async with open_api(hanging, settings={"finish_s": 0.0}) as api:
        assistant = await api.assistant()
        thread = await api.thread("hi")
        run = await api.run(thread, assistant)
        await api.backend.arrived()
    async with open_api(Script().says("Fresh."), settings={"attempts_max": 0}) as api:
        ended = await api.ended(run)
        assert ended["status"] == "failed"
        assert ended["last_error"]["code"] == "server_error"
        assert "lost" in ended["last_error"]["message"]
