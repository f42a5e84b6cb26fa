"""How many runs and answers may be at work at once, as a client meets it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI
from tests.plugins.rate_limits.test_rate_limits import (
    ASSISTANTS,
    MODELS,
    Doors,
    chatted,
    client_of,
    finished,
)

from famulus.testing import Script, ScriptedBackend, TestServer, kernel_with, tool

pytestmark = pytest.mark.anyio

RUNS = (*ASSISTANTS, "functions")
BOOK = {"type": "function", "function": {"name": "book_table"}}


@asynccontextmanager
async def limited(
    script: Script, *plugins: str, run_s: int = 600, **limits: Any
) -> AsyncIterator[tuple[TestServer, ScriptedBackend]]:
    """A server with these limits, and its model."""
    async with AsyncExitStack() as stack:
        backend = ScriptedBackend(script.forever())
        url = await stack.enter_async_context(backend.serve())
        tables: dict[str, Any] = {
            "rate_limits": limits,
            "openai_compatible": {"backends": [{"name": "box", "url": url}]},
            "models": {"backoff_s": 0.0, "attempts_max": 1},
        }
        if "runs" in plugins:
            tables["runs"] = {"run_s": run_s, "expiry_poll_s": 0.05}
        yield (
            await stack.enter_async_context(kernel_with(Doors, *plugins, settings=tables)),
            backend,
        )


async def created(client: AsyncOpenAI, **more: Any) -> Any:
    """A run on a thread of its own, of an assistant of its own."""
    assistant = await client.beta.assistants.create(model="scripted")
    return await client.beta.threads.create_and_run(assistant_id=assistant.id, **more)


async def status_of(client: AsyncOpenAI, run: Any) -> str:
    found = await client.beta.threads.runs.retrieve(run.id, thread_id=run.thread_id)
    return found.status


async def until(client: AsyncOpenAI, run: Any, *statuses: str) -> Any:
    async with asyncio.timeout(30):
        while True:
            run = await client.beta.threads.runs.retrieve(run.id, thread_id=run.thread_id)
            if run.status in statuses:
                return run
            await asyncio.sleep(0.01)


def held(server: TestServer, what: str = "runs") -> float:
    gauges = {each.name: each for each in server.kernel.gauges()}
    return gauges["famulus_limits_held"].read()[(what,)]


# --- runs ----------------------------------------------------------------------------------------


async def test_runs_of_a_key_wait_queued_until_there_is_room_and_others_go_on() -> None:
    go_on = asyncio.Event()
    script = Script().says("ok").waits_for(go_on)
    async with limited(script, *RUNS, runs_at_once_max=2) as (server, backend):
        one, two = client_of(server, "acme.one"), client_of(server, "acme.two")
        runs = [await created(one) for _ in range(4)]
        await backend.arrived(2)
        theirs = await created(two)
        await backend.arrived(3)
        statuses = [await status_of(one, run) for run in runs]
        assert statuses == ["in_progress", "in_progress", "queued", "queued"]
        assert await status_of(two, theirs) == "in_progress"
        assert held(server) == 3
        go_on.set()
        for run in (*runs, theirs):
            await finished(one, run)
        while held(server):
            await asyncio.sleep(0.01)


async def test_runs_that_wait_begin_in_the_order_in_which_they_were_created() -> None:
    go_on = asyncio.Event()
    script = Script().says("ok").waits_for(go_on)
    async with limited(script, *RUNS, project_runs_at_once_max=1) as (server, backend):
        client = client_of(server)
        runs = [await created(client, instructions=f"number {at}") for at in range(4)]
        await backend.arrived()
        go_on.set()
        for run in runs:
            await finished(client, run)
        told = [chat.chat.messages[0].content for chat in backend.chats]
        assert told == [f"number {at}" for at in range(4)]


async def test_a_model_has_room_of_its_own() -> None:
    go_on = asyncio.Event()
    script = Script().says("ok").waits_for(go_on)
    limits = {"models": {"scripted": {"runs_at_once_max": 1}}}
    async with limited(script, *RUNS, **limits) as (server, backend):
        client, other = client_of(server), client_of(server, "other.one")
        runs = [await created(client) for _ in range(2)]
        # Another project has its own.
        theirs = await created(other)
        await backend.arrived(2)
        assert await status_of(client, runs[1]) == "queued"
        go_on.set()
        await finished(client, runs[1])
        await finished(other, theirs)


@pytest.mark.parametrize("ends", ["cancelled", "failed", "expired", "requires_action"])
async def test_however_a_run_stops_the_next_one_has_its_place(ends: str) -> None:
    never = asyncio.Event()
    script = Script().calls(tool("book_table", {}, id="call_a"))
    if ends in ("cancelled", "expired"):
        script = Script().says("ok").waits_for(never)
    run_s = 1 if ends == "expired" else 600
    async with limited(script, *RUNS, run_s=run_s, runs_at_once_max=1) as (server, backend):
        client = client_of(server)
        model = "unknown" if ends == "failed" else "scripted"
        first = await created(client, tools=[BOOK], model=model)
        second = await created(client, tools=[BOOK])
        if ends == "cancelled":
            await backend.arrived()
            runs = client.beta.threads.runs
            await runs.cancel(first.id, thread_id=first.thread_id)
        assert (await until(client, first, ends)).status == ends
        if ends != "expired":
            # Else it is over before it has begun.
            await until(client, second, "in_progress", "requires_action")


async def test_a_run_that_goes_on_after_its_tool_waits_for_room_again() -> None:
    go_on = asyncio.Event()
    book = tool("book_table", {}, id="call_a")
    script = Script().calls(book).says("busy").waits_for(go_on).says("ok")
    async with limited(script, *RUNS, runs_at_once_max=1) as (server, backend):
        client = client_of(server)
        first = await until(client, await created(client, tools=[BOOK]), "requires_action")
        second = await created(client)
        await backend.arrived(2)
        await client.beta.threads.runs.submit_tool_outputs(
            first.id,
            thread_id=first.thread_id,
            tool_outputs=[{"tool_call_id": "call_a", "output": "done"}],
        )
        assert await status_of(client, first) == "queued"
        go_on.set()
        await finished(client, second)
        await until(client, first, "completed")


async def test_a_run_that_waits_for_room_expires_and_can_be_cancelled() -> None:
    never = asyncio.Event()
    script = Script().says("ok").waits_for(never)
    async with limited(script, *RUNS, run_s=2, runs_at_once_max=1) as (server, backend):
        client = client_of(server)
        first = await created(client)
        await backend.arrived()
        unwanted, late = await created(client), await created(client)
        runs = client.beta.threads.runs
        cancelled = await runs.cancel(unwanted.id, thread_id=unwanted.thread_id)
        assert cancelled.status == "cancelled"
        await until(client, first, "expired")
        assert (await until(client, late, "expired")).started_at is None


async def test_a_stream_begins_though_its_run_has_to_wait() -> None:
    go_on = asyncio.Event()
    script = Script().says("ok").waits_for(go_on)
    async with limited(script, *RUNS, runs_at_once_max=1) as (server, backend):
        client = client_of(server)
        await created(client)
        await backend.arrived()
        events = []
        async for event in await created(client, stream=True):
            events.append(event.event)
            if event.event == "thread.run.queued":
                go_on.set()
        assert events[:3] == ["thread.created", "thread.run.created", "thread.run.queued"]
        assert "thread.run.completed" in events


async def test_as_configured_a_run_without_room_is_refused() -> None:
    go_on = asyncio.Event()
    script = Script().says("ok").waits_for(go_on)
    limits = {"runs_at_once_max": 1, "full": "refuse"}
    async with limited(script, *RUNS, **limits) as (server, backend):
        client = client_of(server, max_retries=0)
        first = await created(client)
        await backend.arrived()
        with pytest.raises(openai.RateLimitError) as caught:
            await created(client)
        assert caught.value.code == "rate_limit_exceeded"
        assert "for the key one on runs at once: Limit 1, Used 1" in caught.value.message
        assert caught.value.response.headers["retry-after-ms"] == "1000"
        go_on.set()
        await finished(client, first)
        while held(server):
            await asyncio.sleep(0.01)
        await finished(client, await created(client))


async def test_many_runs_of_many_keys_never_are_more_at_once_than_may() -> None:
    go_on = asyncio.Event()
    script = Script().says("ok").waits_for(go_on)
    limits = {"runs_at_once_max": 2, "project_runs_at_once_max": 5}
    async with limited(script, *RUNS, **limits) as (server, backend):
        clients = [client_of(server, f"acme.{at}") for at in range(4)]
        runs = await asyncio.gather(*(created(one) for one in clients for _ in range(5)))
        await backend.arrived(5)
        statuses = [await status_of(clients[0], run) for run in runs]
        assert statuses.count("in_progress") == 5
        assert len(backend.chats) == 5
        go_on.set()
        for run in runs:
            await finished(clients[0], run)
            assert held(server) <= 5


# --- answers -------------------------------------------------------------------------------------


async def test_only_so_many_answers_of_a_key_are_on_their_way_at_once() -> None:
    go_on = asyncio.Event()
    script = Script().says("Hello.").waits_for(go_on)
    limits = {"answers_at_once_max": 1, "requests_per_minute": 10}
    async with limited(script, *MODELS, **limits) as (server, backend):
        first = asyncio.create_task(chatted(server))
        await backend.arrived()
        refused = await chatted(server)
        assert refused.status_code == 429
        assert refused.json()["error"]["message"] == (
            "Rate limit reached for the key one on answers at once: Limit 1, Used 1, Requested 1. "
            "Please try again in 1s, or when one of them is done."
        )
        assert refused.headers["retry-after"] == "1"
        # It has cost no request.
        assert refused.headers["x-ratelimit-remaining-requests"] == "9"
        other = asyncio.create_task(chatted(server, "acme.two"))
        await backend.arrived(2)
        go_on.set()
        assert [(await each).status_code for each in (first, other)] == [200, 200]
        assert (await chatted(server)).status_code == 200
        assert held(server, "answers") == 0


async def test_a_stream_has_its_place_until_it_ends_or_its_client_leaves() -> None:
    script = Script().says("Hello, how are you today?")
    async with limited(script, *MODELS, answers_at_once_max=1) as (server, _):
        for _ in range(3):
            streamed = await chatted(server, stream=True)
            assert streamed.text.endswith("data: [DONE]\n\n")
    script = Script().says("and on ").without_end()
    async with limited(script, *MODELS, answers_at_once_max=1) as (server, _):
        body = {"model": "scripted", "messages": [{"role": "user", "content": "Hi"}]}
        headers = {"authorization": "Bearer acme.one"}
        path = "/v1/chat/completions"
        async with server.stream(path, {**body, "stream": True}, headers=headers) as events:
            async for _ in events:
                assert held(server, "answers") == 1
                break
        async with asyncio.timeout(30):
            while held(server, "answers"):
                await asyncio.sleep(0.01)


async def test_what_fails_gives_its_place_back() -> None:
    script = Script().says("Hello.")
    async with limited(script, *MODELS, answers_at_once_max=1) as (server, _):
        models = ("unknown", "unknown", "scripted")
        answers = [await chatted(server, model=model) for model in models]
        assert [one.status_code for one in answers] == [404, 404, 200]
