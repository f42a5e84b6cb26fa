"""Two servers on one database are one server to the official client, and one outlives the other."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from openai import AsyncAssistantEventHandler, AsyncOpenAI
from tests.e2e.serving import KEY, Served, serve

from famulus.testing import Script, ScriptedBackend, tool
from famulus_conformance.scenarios_model import GET_WEATHER

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.parametrize("store_variables", ["postgres"], indirect=True),
]

WORDS = "One two three four five six seven eight nine ten."
WHOLE = [
    "thread.run.created",
    "thread.run.queued",
    "thread.run.in_progress",
    "thread.run.step.created",
    "thread.run.step.in_progress",
    "thread.message.created",
    "thread.message.in_progress",
    "thread.message.completed",
    "thread.run.step.completed",
    "thread.run.completed",
]
WORKS = {
    "FAMULUS_OPENAI_COMPATIBLE__DISCOVER": "false",
    "FAMULUS_JOBS__HEARTBEAT_S": "0.5",
    "FAMULUS_JOBS__LEASE_S": "5",
    # So long that only a wake-up can be in time.
    "FAMULUS_JOBS__POLL_S": "600",
}
ONLY_ANSWERS = {**WORKS, "FAMULUS_RUNS__RUNS_AT_ONCE_MAX": "0"}


class Heard(AsyncAssistantEventHandler):
    """Notes what it is told, and sets `go_on` at the first delta."""

    def __init__(self, go_on: asyncio.Event | None = None) -> None:
        super().__init__()
        self.names: list[str] = []
        self._go_on = go_on
        self.has_text = asyncio.Event()

    async def on_event(self, event: Any) -> None:
        if event.event == "thread.message.delta":
            self.has_text.set()
            if self._go_on is not None:
                self._go_on.set()
        if not event.event.endswith(".delta"):
            self.names.append(event.event)


@asynccontextmanager
async def started(
    folder: Path, url: str, environment: Mapping[str, str]
) -> AsyncIterator[tuple[Served, AsyncOpenAI]]:
    """A server and its client. What waits for the server waits beside this loop."""
    serving = serve(folder, arguments=["--backend", url], environment=environment)
    served = await asyncio.to_thread(serving.__enter__)
    try:
        async with served.async_client() as client:
            yield served, client
    finally:
        await asyncio.to_thread(serving.__exit__, None, None, None)


class Pair:
    """A server that works, one beside it, and the model behind both."""

    def __init__(self, backend: ScriptedBackend, assistant: str) -> None:
        self.backend = backend
        self.assistant = assistant
        self.url = ""
        """Of the model."""
        self.process_a: Served
        self.a: AsyncOpenAI
        self.b: AsyncOpenAI

    async def thread(self, at: AsyncOpenAI | None = None) -> str:
        messages: Any = [{"role": "user", "content": "hi"}]
        return (await (at or self.a).beta.threads.create(messages=messages)).id


@asynccontextmanager
async def pair(
    script: Script, folder: Path, store: Mapping[str, str], *, of_b: Mapping[str, str]
) -> AsyncIterator[Pair]:
    backend = ScriptedBackend(script)
    async with AsyncExitStack() as stack:
        url = await stack.enter_async_context(backend.serve())
        a = started(folder / "a", url, {**WORKS, **store})
        process_a, client_a = await stack.enter_async_context(a)
        b = started(folder / "b", url, {**store, **of_b})
        _, client_b = await stack.enter_async_context(b)
        assistant = await client_a.beta.assistants.create(model="scripted", tools=[GET_WEATHER])
        made = Pair(backend, assistant.id)
        made.url = url
        made.process_a, made.a, made.b = process_a, client_a, client_b
        yield made


async def test_a_run_of_one_process_is_streamed_at_the_other_while_it_is_written(
    store_variables: Mapping[str, str], tmp_path: Path
) -> None:
    go_on = asyncio.Event()
    script = Script().says(WORDS).waits_for(go_on, after=3)
    async with pair(script, tmp_path, store_variables, of_b=ONLY_ANSWERS) as two:
        thread = await two.thread()
        heard = Heard(go_on)
        async with two.b.beta.threads.runs.stream(
            thread_id=thread, assistant_id=two.assistant, event_handler=heard
        ) as stream:
            await stream.until_done()
        assert heard.names == WHOLE
        (message,) = await stream.get_final_messages()
        assert message.content[0].text.value == WORDS
        ended = await stream.get_final_run()
        assert await two.a.beta.threads.runs.retrieve(ended.id, thread_id=thread) == ended


async def test_a_run_is_polled_asked_and_answered_at_whichever_process(
    store_variables: Mapping[str, str], tmp_path: Path
) -> None:
    call = tool("get_weather", {"city": "Split"}, id="call_a")
    script = Script().calls(call).says("It is warm.")
    async with pair(script, tmp_path, store_variables, of_b=ONLY_ANSWERS) as two:
        thread = await two.thread()
        created = await two.a.beta.threads.runs.create(thread, assistant_id=two.assistant)
        asked = await two.b.beta.threads.runs.poll(created.id, thread_id=thread)
        assert asked.status == "requires_action"
        heard = Heard()
        async with two.b.beta.threads.runs.submit_tool_outputs_stream(
            run_id=created.id,
            thread_id=thread,
            tool_outputs=[{"tool_call_id": "call_a", "output": "warm"}],
            event_handler=heard,
        ) as stream:
            await stream.until_done()
        assert heard.names == ["thread.run.step.completed", "thread.run.queued", *WHOLE[2:]]
        messages = await two.a.beta.threads.messages.list(thread)
        assert messages.data[0].content[0].text.value == "It is warm."


async def test_a_run_of_one_process_is_cancelled_at_the_other(
    store_variables: Mapping[str, str], tmp_path: Path
) -> None:
    script = Script().says("and on ").without_end().pauses(0.01)
    async with pair(script, tmp_path, store_variables, of_b=ONLY_ANSWERS) as two:
        thread = await two.thread()
        run = await two.a.beta.threads.runs.create(thread, assistant_id=two.assistant)
        request = await two.backend.arrived(within_s=60)
        cancelled = await two.b.beta.threads.runs.cancel(run.id, thread_id=thread)
        assert cancelled.status == "cancelled"
        await request.ended()
        assert request.closed_early


async def test_a_run_that_waits_has_its_turn_though_the_process_before_it_is_killed(
    store_variables: Mapping[str, str], tmp_path: Path
) -> None:
    never = asyncio.Event()
    script = Script().says("Half").waits_for(never).says("First.").says("Second.")
    async with pair(script, tmp_path, store_variables, of_b=ONLY_ANSWERS) as two:
        thread = await two.thread()
        first = await two.a.beta.threads.runs.create(thread, assistant_id=two.assistant)
        await two.backend.arrived(within_s=60)
        headers = {"X-Famulus-On-Busy": "queue"}
        second = await two.b.beta.threads.runs.create(
            thread, assistant_id=two.assistant, extra_headers=headers
        )
        assert second.status == "queued"
        async with started(tmp_path / "c", two.url, {**store_variables, **WORKS}):
            two.process_a.kill()
            for run in (first, second):
                ended = await two.b.beta.threads.runs.poll(run.id, thread_id=thread)
                assert ended.status == "completed"
        messages = await two.b.beta.threads.messages.list(thread, order="asc")
        texts = [message.content[0].text.value for message in messages.data]
        assert texts == ["hi", "First.", "Second."]


async def test_a_stream_goes_on_when_the_process_that_did_the_run_is_killed(
    store_variables: Mapping[str, str], tmp_path: Path
) -> None:
    never = asyncio.Event()
    script = Script().says("Half of it").waits_for(never, after=2).says("All of it.")
    async with pair(script, tmp_path, store_variables, of_b=ONLY_ANSWERS) as two:
        thread = await two.thread()
        heard = Heard()
        async with two.b.beta.threads.runs.stream(
            thread_id=thread, assistant_id=two.assistant, event_handler=heard
        ) as stream:
            listening = asyncio.create_task(stream.until_done())
            await asyncio.wait_for(heard.has_text.wait(), 60)
            third = started(tmp_path / "c", two.url, {**store_variables, **WORKS})
            async with third:
                two.process_a.kill()
                await listening
            (message,) = await stream.get_final_messages()
        created = heard.names.index("thread.message.created")
        assert heard.names == [
            *WHOLE[: created + 2],
            "thread.message.created",
            *WHOLE[created + 2 :],
        ]
        assert message.content[0].text.value == "All of it."
        (stored,) = (await two.b.beta.threads.messages.list(thread, run_id=message.run_id)).data
        assert stored == message


async def test_a_process_that_is_stopped_leaves_its_runs_to_others_and_its_streams_whole(
    store_variables: Mapping[str, str], tmp_path: Path
) -> None:
    go_on = asyncio.Event()
    script = Script().says(WORDS).waits_for(go_on, after=3).forever()
    of_a = {**WORKS, "FAMULUS_SERVER__DRAIN_S": "3", "FAMULUS_RUNS__FINISH_S": "0"}
    async with pair(script, tmp_path, {**store_variables, **of_a}, of_b=WORKS) as two:
        served, client = two.process_a, two.a
        streamed, polled = await two.thread(), await two.thread()
        body = {"assistant_id": two.assistant, "stream": True}
        headers = {"authorization": f"Bearer {KEY}"}
        async with (
            httpx.AsyncClient(headers=headers, timeout=60) as http,
            http.stream("POST", f"{served.base_url}/threads/{streamed}/runs", json=body) as heard,
        ):
            lines = heard.aiter_lines()
            told = [await anext(lines)]
            while "thread.message.delta" not in told[-1]:
                told.append(await anext(lines))
            run = await client.beta.threads.runs.create(polled, assistant_id=two.assistant)
            await two.backend.arrived(2)
            served.process.terminate()
            # What nobody reads there is begun again here, long before the stream there is over.
            await two.backend.arrived(3)
            late = await two.thread(two.b)
            await two.b.beta.threads.runs.create(late, assistant_id=two.assistant)
            await two.backend.arrived(4)
            assert served.process.poll() is None
            # Ended as an answer ends: a broken one raises here.
            told += [line async for line in lines]
        assert told[-1] == ""
        assert not any("[DONE]" in line for line in told)
        assert await asyncio.to_thread(served.process.wait, 40) == 0
        go_on.set()
        place = [line.removeprefix("id: ") for line in told if line.startswith("id: ")][-1]
        run_id = place.partition(":")[0]
        rest = await two.b.get(
            f"/threads/{streamed}/runs/{run_id}/events",
            cast_to=httpx.Response,
            options={"headers": {"last-event-id": place}},
        )
        assert rest.text.endswith("event: done\ndata: [DONE]\n\n")
        ended = await two.b.beta.threads.runs.poll(run.id, thread_id=polled)
        assert ended.status == "completed"
