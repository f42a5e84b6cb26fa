"""Function calls that the client runs: asked for once, answered once, and the run goes on."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from famulus.testing import FixedClock, Script, tool

BOOK = {"type": "function", "function": {"name": "book_table"}}
WEATHER = {"type": "function", "function": {"name": "get_weather"}}


async def waiting_run(api: Any, **fields: Any) -> Any:
    """A run that waits for its client's outputs."""
    assistant = await api.assistant(tools=[BOOK, WEATHER])
    run = await api.ran(await api.thread("Book a table"), assistant, **fields)
    assert run["status"] == "requires_action"
    return run


async def test_a_run_asks_for_outputs_and_goes_on_with_them(open_api: Any) -> None:
    script = Script().calls(tool("book_table", {"seats": 2}, id="call_a")).uses(10, 5)
    async with open_api(script.says("Booked.").uses(20, 3)) as api:
        run = await waiting_run(api)
        (call,) = run["required_action"]["submit_tool_outputs"]["tool_calls"]
        assert call == {
            "id": "call_a",
            "type": "function",
            "function": {"name": "book_table", "arguments": '{"seats":2}'},
        }
        (step,) = await api.steps(run)
        assert step["status"] == "in_progress"
        assert step["step_details"]["tool_calls"][0]["function"]["output"] is None
        queued = await api.ok(await api.submit(run, call_a="done"))
        assert queued["status"] == "queued"
        assert queued["required_action"] is None
        ended = await api.ended(run)
        assert ended["status"] == "completed"
        assert ended["usage"] == {"prompt_tokens": 30, "completion_tokens": 8, "total_tokens": 38}
        calls, message = await api.steps(run)
        assert calls["status"] == "completed"
        assert calls["step_details"]["tool_calls"][0]["function"]["output"] == "done"
        assert message["type"] == "message_creation"
        shown = api.backend.chats[1].chat.messages
        assert [m.role for m in shown] == ["user", "assistant", "tool"]
        assert (shown[1].tool_calls[0].id, shown[2].tool_call_id) == ("call_a", "call_a")
        assert shown[2].content == "done"


async def test_server_and_client_calls_of_one_answer_end_together(open_api: Any) -> None:
    calls = (tool("get_weather", {}, id="call_s"), tool("book_table", {}, id="call_c"))
    async with open_api(Script().calls(*calls).says("Both.")) as api:
        run = await waiting_run(api)
        asked = run["required_action"]["submit_tool_outputs"]["tool_calls"]
        assert [call["id"] for call in asked] == ["call_c"]
        await api.ok(await api.submit(run, call_c="ok"))
        assert (await api.ended(run))["status"] == "completed"
        outputs = [m.content for m in api.backend.chats[1].chat.messages if m.role == "tool"]
        assert outputs == ["sunny", "ok"]


@pytest.mark.parametrize(
    ("outputs", "message"),
    [
        (
            {"call_a": "x"},
            "Expected tool outputs for call_ids ['call_a', 'call_b'], got ['call_a']",
        ),
        ({}, "Expected tool outputs for call_ids ['call_a', 'call_b'], got []"),
        (
            {"call_a": "x", "call_b": "y", "call_z": "z"},
            (
                "Expected tool outputs for call_ids ['call_a', 'call_b'], "
                "got ['call_a', 'call_b', 'call_z']"
            ),
        ),
    ],
)
async def test_all_outputs_and_no_others_are_taken(
    outputs: dict[str, str], message: str, open_api: Any
) -> None:
    calls = [tool("book_table", {}, id=id) for id in ("call_a", "call_b")]
    async with open_api(Script().calls(*calls)) as api:
        run = await waiting_run(api)
        refused = await api.submit(run, **outputs)
        assert refused.status_code == 400
        assert refused.json()["error"]["message"] == message
        assert (await api.ended(run))["status"] == "requires_action"


async def test_of_many_who_submit_at_once_one_is_taken(open_api: Any) -> None:
    go_on = asyncio.Event()
    script = Script().calls(tool("book_table", {}, id="call_a")).says("Ok.").waits_for(go_on)
    async with open_api(script) as api:
        run = await waiting_run(api)
        answers = await asyncio.gather(*(api.submit(run, call_a=str(n)) for n in range(10)))
        assert sorted(a.status_code for a in answers) == [200] + [400] * 9
        go_on.set()
        assert (await api.ended(run))["status"] == "completed"
        told = [m.content for m in api.backend.chats[1].chat.messages if m.role == "tool"]
        winner = next(n for n, answer in enumerate(answers) if answer.status_code == 200)
        assert told == [str(winner)]


async def test_a_run_that_does_not_wait_takes_no_outputs(open_api: Any) -> None:
    async with open_api(Script().says("done")) as api:
        run = await api.ran(await api.thread("hi"), await api.assistant())
        refused = await api.submit(run, call_a="x")
        assert refused.status_code == 400
        assert refused.json()["error"]["message"] == (
            'Runs in status "completed" do not accept tool outputs.'
        )


async def test_a_run_whose_client_never_comes_back_expires_and_frees_its_thread(
    open_api: Any,
) -> None:
    clock = FixedClock()
    script = Script().calls(tool("book_table", {}, id="call_a")).says("Fresh.")
    async with open_api(script, settings={"expiry_poll_s": 3600}, clock=clock) as api:
        run = await waiting_run(api)
        clock.move(601)
        refused = await api.submit(run, call_a="late")
        assert refused.status_code == 400
        assert refused.json()["error"]["message"] == (
            'Runs in status "expired" do not accept tool outputs.'
        )
        expired = await api.ended(run)
        assert expired["status"] == "expired"
        (step,) = await api.steps(run)
        assert step["status"] == "expired"
        assert step["expired_at"] is not None
        fresh = await api.ran(run["thread_id"], run["assistant_id"])
        assert fresh["status"] == "completed"


async def test_an_expired_run_frees_its_thread_for_the_next_at_once(open_api: Any) -> None:
    clock = FixedClock()
    script = Script().calls(tool("book_table", {}, id="call_a")).says("Fresh.")
    async with open_api(script, settings={"expiry_poll_s": 3600}, clock=clock) as api:
        run = await waiting_run(api)
        clock.move(601)
        assert (await api.ran(run["thread_id"], run["assistant_id"]))["status"] == "completed"


async def test_waiting_runs_are_looked_after_without_anybody_asking(open_api: Any) -> None:
    clock = FixedClock()
    script = Script().calls(tool("book_table", {}, id="call_a"))
    async with open_api(script, settings={"expiry_poll_s": 0.01}, clock=clock) as api:
        run = await waiting_run(api)
        clock.move(601)
        path = f"/v1/threads/{run['thread_id']}/runs/{run['id']}"
        for _ in range(1000):
            if (await api.server.get(path)).json()["status"] == "expired":
                return
            await asyncio.sleep(0.01)
        raise AssertionError("nobody looked after it")


async def test_a_waiting_run_is_cancelled_with_its_step(open_api: Any) -> None:
    script = Script().calls(tool("book_table", {}, id="call_a")).says("Fresh.")
    async with open_api(script) as api:
        run = await waiting_run(api)
        cancelled = await api.ok(await api.cancel(run))
        assert cancelled["status"] == "cancelled"
        assert cancelled["cancelled_at"] is not None
        assert cancelled["required_action"] is None
        (step,) = await api.steps(run)
        assert step["status"] == "cancelled"
        assert (await api.submit(run, call_a="x")).status_code == 400
        assert (await api.ran(run["thread_id"], run["assistant_id"]))["status"] == "completed"


async def test_usage_is_told_while_a_run_rests_and_not_while_it_is_at_work(open_api: Any) -> None:
    never = asyncio.Event()
    script = Script().calls(tool("book_table", {}, id="call_a")).uses(10, 5)
    async with open_api(script.says("Booked.").waits_for(never)) as api:
        run = await waiting_run(api)
        used = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
        assert run["usage"] == used
        queued = await api.ok(await api.submit(run, call_a="done"))
        assert (queued["status"], queued["usage"]) == ("queued", None)
        await api.backend.arrived(2)
        path = f"/v1/threads/{run['thread_id']}/runs/{run['id']}"
        now = await api.ok(await api.server.get(path))
        assert (now["status"], now["usage"]) == ("in_progress", None)
        # What the answer cost that is broken off comes on top.
        cancelled = await api.ok(await api.cancel(run))
        assert cancelled["usage"]["completion_tokens"] >= used["completion_tokens"]


async def test_a_run_that_is_cancelled_before_it_goes_on_tells_what_it_used(open_api: Any) -> None:
    never = asyncio.Event()
    script = Script().calls(tool("book_table", {}, id="call_a")).uses(10, 5)
    script = script.says("Slow.").waits_for(never)
    async with open_api(script, settings={"runs_at_once_max": 1}) as api:
        run = await waiting_run(api)
        await api.run(await api.thread("hi"), run["assistant_id"])
        await api.backend.arrived(2)
        queued = await api.ok(await api.submit(run, call_a="done"))
        assert (queued["status"], queued["usage"]) == ("queued", None)
        cancelled = await api.ok(await api.cancel(run))
        assert (cancelled["status"], cancelled["usage"]) == ("cancelled", run["usage"])


async def test_the_stream_of_submitted_outputs_begins_with_the_finished_step(
    open_api: Any,
) -> None:
    script = Script().calls(tool("book_table", {}, id="call_a")).says("Booked.")
    async with open_api(script) as api:
        run = await waiting_run(api)
        path = f"/v1/threads/{run['thread_id']}/runs/{run['id']}/submit_tool_outputs"
        body = {"tool_outputs": [{"tool_call_id": "call_a", "output": "ok"}], "stream": True}
        async with api.server.stream(path, body) as events:
            names = [event.name for event in await events.all()]
        assert names[:3] == [
            "thread.run.step.completed",
            "thread.run.queued",
            "thread.run.in_progress",
        ]
        assert names[-2:] == ["thread.run.completed", "done"]
