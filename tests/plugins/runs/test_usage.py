"""What a run and its steps are said to have cost, and whether that was reported or estimated."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from famulus.testing import Script, ScriptedBackend, faults, tool
from famulus.testing.script import BEFORE_HEADERS
from famulus_runs.kinds import StepExtra, step_extra
from famulus_schemas.inference import ChatChunk, ChatRequest
from famulus_schemas.records import Record

pytestmark = pytest.mark.anyio

LOOK = {"type": "function", "function": {"name": "look"}}
TEXT = "This is what the model said before it was stopped"


async def is_estimated(api: Any, path: str) -> Any:
    """Whether the usage that is shown there is marked as an estimate."""
    plain = await api.ok(await api.server.get(path))
    assert "famulus" not in plain
    shown = await api.ok(await api.server.get(path, params={"include[]": "famulus.usage"}))
    mark = shown.pop("famulus")["usage"]
    assert shown == plain
    return mark and mark["estimated"]


def path_of(run: Any, step: Any = None) -> str:
    path = f"/v1/threads/{run['thread_id']}/runs/{run['id']}"
    return path if step is None else f"{path}/steps/{step['id']}"


async def stopped(api: Any, run: Any, events: int = 1) -> Any:
    """The run, cancelled once its model has said something."""
    await api.backend.arrived()
    while events and not await api.messages(run["thread_id"], run_id=run["id"]):
        await asyncio.sleep(0.005)
    return await api.ok(await api.cancel(run))


async def test_reported_usage_is_told_as_it_is(open_api: Any) -> None:
    async with open_api(Script().says("Four.").uses(12, 5)) as api:
        run = await api.ran(await api.thread("hi"), await api.assistant())
        (step,) = await api.steps(run)
        usage = {"prompt_tokens": 12, "completion_tokens": 5, "total_tokens": 17}
        assert run["usage"] == step["usage"] == usage
        assert await is_estimated(api, path_of(run)) is False
        assert await is_estimated(api, path_of(run, step)) is False


async def test_usage_that_nobody_reports_is_estimated_and_marked(open_api: Any) -> None:
    script = Script().calls(tool("get_weather", {"city": "Oslo"})).without_usage()
    script = script.says("Sunny.").uses(30, 5)
    async with open_api(script) as api:
        tools = [{"type": "function", "function": {"name": "get_weather"}}]
        run = await api.ran(await api.thread("hi there"), await api.assistant(tools=tools))
        calls, message = await api.steps(run)
        # What a model writes into its calls costs as much as what it says.
        assert calls["usage"]["completion_tokens"] > 0
        assert await is_estimated(api, path_of(run, calls)) is True
        assert await is_estimated(api, path_of(run, message)) is False
        assert await is_estimated(api, path_of(run)) is True
        assert run["usage"]["prompt_tokens"] == calls["usage"]["prompt_tokens"] + 30


async def test_prompt_and_usage_can_be_asked_for_together(open_api: Any) -> None:
    async with open_api(Script().says("Four.").without_usage()) as api:
        run = await api.ran(await api.thread("hi"), await api.assistant())
        (step,) = await api.steps(run)
        params = {"include[]": ["famulus.usage", "famulus.prompt"]}
        shown = await api.ok(await api.server.get(path_of(run, step), params=params))
        assert shown["famulus"]["usage"] == {"estimated": True}
        assert shown["famulus"]["prompt"]["messages"] == [{"role": "user", "content": "hi"}]


def test_the_prompt_of_a_step_of_an_older_form_is_still_there() -> None:
    record = Record(project="p", kind="step", id="step_1", created_at=0, body=b"{}", extra=b"x")
    assert step_extra(record) == StepExtra(prompt=b"x", usage_is_estimate=False)


async def test_usage_that_is_not_known_yet_is_not_marked(open_api: Any) -> None:
    go_on = asyncio.Event()
    async with open_api(Script().says("slow").waits_for(go_on)) as api:
        run = await api.run(await api.thread("hi"), await api.assistant())
        await api.backend.arrived()
        assert await is_estimated(api, path_of(run)) is None
        go_on.set()
        await api.ended(run)


async def test_an_answer_that_was_cancelled_cost_what_was_sent_and_received(
    open_api: Any,
) -> None:
    never = asyncio.Event()
    async with open_api(Script().says(TEXT).waits_for(never, after=8)) as api:
        run = await api.run(await api.thread("word " * 50), await api.assistant())
        run = await stopped(api, run)
        assert run["status"] == "cancelled"
        assert run["usage"]["prompt_tokens"] >= 50
        assert run["usage"]["completion_tokens"] >= 8
        (step,) = await api.steps(run)
        assert step["usage"] == run["usage"]
        assert await is_estimated(api, path_of(run)) is True
        assert await is_estimated(api, path_of(run, step)) is True


async def test_a_prompt_that_was_sent_before_a_cancel_is_counted(open_api: Any) -> None:
    never = asyncio.Event()
    script = Script().says("never").waits_for(never, after=BEFORE_HEADERS)
    async with open_api(script) as api:
        run = await api.run(await api.thread("word " * 50), await api.assistant())
        run = await stopped(api, run, events=0)
        assert run["usage"]["prompt_tokens"] >= 50
        assert run["usage"]["completion_tokens"] == 0


async def test_an_answer_that_broke_off_cost_what_was_sent_and_received(open_api: Any) -> None:
    async with open_api(Script().says(TEXT).breaks(faults.hang_up(), after=8)) as api:
        run = await api.ran(await api.thread("word " * 50), await api.assistant())
        assert run["status"] == "failed"
        assert run["usage"]["prompt_tokens"] >= 50
        assert run["usage"]["completion_tokens"] >= 8
        (step,) = await api.steps(run)
        assert step["usage"] == run["usage"]
        assert await is_estimated(api, path_of(run)) is True


async def test_an_answer_that_expired_cost_what_was_sent_and_received(open_api: Any) -> None:
    never = asyncio.Event()
    script = Script().says(TEXT).waits_for(never, after=8)
    async with open_api(script, settings={"run_s": 1}) as api:
        run = await api.ran(await api.thread("word " * 50), await api.assistant())
        assert run["status"] == "expired"
        assert run["usage"]["prompt_tokens"] >= 50
        assert run["usage"]["completion_tokens"] >= 8


async def test_an_answer_that_was_refused_cost_nothing(open_api: Any) -> None:
    async with open_api(Script().fails(faults.status(400))) as api:
        run = await api.ran(await api.thread("word " * 50), await api.assistant())
        assert run["status"] == "failed"
        assert run["usage"]["total_tokens"] == 0
        assert await is_estimated(api, path_of(run)) is False


async def test_what_a_server_reported_before_it_broke_off_is_believed(open_api: Any) -> None:
    class Reporting(ScriptedBackend):
        async def chat(self, request: ChatRequest) -> AsyncIterator[Sequence[ChatChunk]]:
            async for batch in super().chat(request):
                yield batch
                if any(chunk.usage for chunk in batch):
                    raise faults.hang_up().raised_by(self.name)

    async with open_api(Reporting(Script().says(TEXT).uses(70, 9))) as api:
        run = await api.ran(await api.thread("hi"), await api.assistant())
        assert run["status"] == "failed"
        assert (run["usage"]["prompt_tokens"], run["usage"]["completion_tokens"]) == (70, 9)
        assert await is_estimated(api, path_of(run)) is False


async def test_calls_that_wait_for_their_client_keep_the_mark_of_their_cost(
    open_api: Any,
) -> None:
    script = Script().calls(tool("look", {})).without_usage().says("Done.").uses(9, 2)
    async with open_api(script) as api:
        run = await api.ran(await api.thread("hi"), await api.assistant(tools=[LOOK]))
        assert await is_estimated(api, path_of(run)) is True
        (call,) = run["required_action"]["submit_tool_outputs"]["tool_calls"]
        run = await api.ended(await api.ok(await api.submit(run, **{call["id"]: "seen"})))
        assert run["status"] == "completed"
        calls, message = await api.steps(run)
        assert await is_estimated(api, path_of(run, calls)) is True
        assert await is_estimated(api, path_of(run, message)) is False
        assert await is_estimated(api, path_of(run)) is True
