"""Runs on a store that fails, or that other servers write to: what is told is what is stored."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import msgspec
import pytest
from tests.plugins.runs.conftest import Api, ToolPlugin, Weather
from tests.plugins.shared_store import SharedStore, of

from famulus import NoSettings, Plugin, hookimpl
from famulus.testing import Script, ScriptedBackend, kernel_with, tool
from famulus_schemas.records import Replace
from famulus_schemas.tooling import ToolCall, ToolOutput, ToolScope

BOOK = {"type": "function", "function": {"name": "book_table"}}
QUICK = {"heartbeat_s": 0.02, "lease_s": 0.5, "poll_s": 0.02, "retry_s": 0.02}

OpenServer = Callable[..., AbstractAsyncContextManager[Api]]


@pytest.fixture
def store() -> SharedStore:
    return SharedStore()


@pytest.fixture
def open_server(store: SharedStore) -> OpenServer:
    """Opens one more server on the same store."""

    @asynccontextmanager
    async def opened(
        script: Script | None = None,
        *,
        jobs: Mapping[str, float] = {},
        tools: type[Plugin[Any]] = ToolPlugin,
        **settings: Any,
    ) -> AsyncIterator[Api]:
        backend = ScriptedBackend(script)
        plugins = ("events", "jobs", "assistants", "threads", "models", "runs")
        tables = {"jobs": {**QUICK, **jobs}, "runs": {"expiry_poll_s": 0.02, **settings}}
        async with kernel_with(
            store.plugin(), *plugins, tools, backend=backend, settings=tables
        ) as server:
            yield Api(server, backend)

    return opened


async def positions(api: Api, run: Any) -> list[tuple[int, int]]:
    """Attempt and number of the run's events, deltas left out, as they can be read again."""
    path = f"/v1/threads/{run['thread_id']}/runs/{run['id']}/events"
    found = []
    for frame in (await api.server.get(path)).text.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in frame.split("\n") if line)
        if "id" in fields and not fields["event"].endswith(".delta"):
            attempt, number, _ = fields["id"].rpartition(":")[2].split(".")
            found.append((int(attempt), int(number)))
    return found


async def nothing_left(store: SharedStore) -> None:
    """Return once no job and no lock is left."""
    async with asyncio.timeout(20):
        while store.records("job") or store.records("active_run"):
            await asyncio.sleep(0.005)


@pytest.mark.parametrize("kind", ["message", "run_event", "step", "job", "active_run"])
@pytest.mark.parametrize("fault", ["refuses", "loses_answer"])
async def test_a_run_goes_on_after_a_commit_that_failed(
    store: SharedStore, open_server: OpenServer, fault: str, kind: str
) -> None:
    async with open_server(Script().says("Hello there").forever()) as api:
        thread = await api.thread("hi")
        assistant = await api.assistant()
        written = []

        def suits(write: Any) -> bool:
            if write.kind == kind:
                written.append(write)
            # The first of a job and of a lock is the creation, which a client may repeat.
            return len(written) > (1 if kind in ("job", "active_run", "run_event") else 0)

        setattr(store, fault, suits)
        run = await api.ran(thread, assistant)
        assert run["status"] == "completed"
        assert written
        (message,) = await api.messages(thread, run_id=run["id"])
        assert message["content"][0]["text"]["value"] == "Hello there"
        (step,) = await api.steps(run)
        assert (step["status"], message["status"]) == ("completed", "completed")
        told = await positions(api, run)
        assert [number for _, number in told] == list(range(1, len(told) + 1))
        await nothing_left(store)


async def test_a_run_waits_for_a_store_that_is_away(
    store: SharedStore, open_server: OpenServer
) -> None:
    go_on = asyncio.Event()
    script = Script().says("Hello there").waits_for(go_on, after=1).says("Hello again")
    async with open_server(script) as api:
        run = await api.run(await api.thread("hi"), await api.assistant())
        await api.backend.arrived()
        store.is_down = True
        go_on.set()
        await asyncio.sleep(0.1)
        store.is_down = False
        assert (await api.ended(run))["status"] == "completed"
        await nothing_left(store)


async def test_a_run_whose_creation_got_no_answer_is_done_all_the_same(
    store: SharedStore, open_server: OpenServer
) -> None:
    async with open_server(Script().says("Hello there")) as api:
        thread, assistant = await api.thread("hi"), await api.assistant()
        store.loses_answer = of("run", b'"queued"')
        body = {"assistant_id": assistant}
        refused = await api.server.post(f"/v1/threads/{thread}/runs", body)
        assert refused.status_code >= 500
        listed = (await api.server.get(f"/v1/threads/{thread}/runs")).json()
        (run,) = listed["data"]
        assert (await api.ended(run))["status"] == "completed"


async def half_a_message(open_server: OpenServer) -> tuple[Any, str]:
    """A run whose worker has left in the midst of a message, and what is stored of that."""
    never = asyncio.Event()
    script = Script().says("Half of it").waits_for(never, after=2)
    async with open_server(script, finish_s=0.0, checkpoint_ms=0) as api:
        thread, assistant = await api.thread("hi"), await api.assistant()
        run = await api.run(thread, assistant)
        await api.backend.arrived()
        while True:
            messages = await api.messages(thread, run_id=run["id"])
            if messages and messages[0]["content"]:
                return run, messages[0]["content"][0]["text"]["value"]
            await asyncio.sleep(0.002)


async def cancelled_with_what_was_stored(api: Api, run: Any, stored: str) -> None:
    """The run's message and step have ended with it, and the stream adds up to what is stored."""
    (message,) = await api.messages(run["thread_id"], run_id=run["id"])
    assert message["status"] == "incomplete"
    assert message["incomplete_details"] == {"reason": "run_cancelled"}
    assert message["content"][0]["text"]["value"] == stored
    (step,) = await api.steps(run)
    assert step["status"] == "cancelled"
    path = f"/v1/threads/{run['thread_id']}/runs/{run['id']}/events"
    told = ""
    for frame in (await api.server.get(path)).text.split("\n\n"):
        if "event: thread.message.created" in frame:
            told = ""
        elif "event: thread.message.delta" in frame:
            delta = msgspec.json.decode(frame.rpartition("data: ")[2])
            told += delta["delta"]["content"][0]["text"]["value"]
    assert told == stored


async def test_what_a_waiting_run_had_begun_ends_with_it(
    store: SharedStore, open_server: OpenServer
) -> None:
    run, stored = await half_a_message(open_server)
    async with open_server(runs_at_once_max=0) as api:
        cancelled = await api.ok(await api.cancel(run))
        assert cancelled["status"] == "cancelled"
        await cancelled_with_what_was_stored(api, run, stored)
        await nothing_left(store)


async def test_a_run_that_was_marked_is_cancelled_by_whoever_has_it_next(
    store: SharedStore, open_server: OpenServer
) -> None:
    run, stored = await half_a_message(open_server)
    (record,) = store.records("run")
    body = record.body.replace(b'"in_progress"', b'"cancelling"', 1)
    mark = Replace(kind="run", id=record.id, version=record.version, body=body)
    store.memory.commit(record.project, [mark])
    async with open_server() as api:
        assert (await api.ended(run))["status"] == "cancelled"
        await cancelled_with_what_was_stored(api, run, stored)
        await nothing_left(store)


async def test_nothing_outlives_a_thread_that_is_deleted_while_a_tool_runs(
    store: SharedStore,
) -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()

    class Slow(Plugin[NoSettings]):
        """Brings a tool that waits."""

        name = "slow"

        @hookimpl
        def register_tools(self) -> list[Any]:
            return [SlowWeather(begun, go_on)]

    weather = {"type": "function", "function": {"name": "get_weather"}}
    backend = ScriptedBackend(Script().calls(tool("get_weather", {})).says("Sunny."))
    plugins = ("events", "jobs", "assistants", "threads", "models", "runs")
    async with kernel_with(
        store.plugin(), *plugins, Slow, backend=backend, settings={"jobs": QUICK}
    ) as server:
        api = Api(server, backend)
        thread = await api.thread("hi")
        await api.run(thread, await api.assistant(tools=[weather]))
        await begun.wait()
        await api.ok(await api.server.delete(f"/v1/threads/{thread}"))
        go_on.set()
        await nothing_left(store)
    assert {record.kind for record in store.memory.records.values()} == {"assistant"}


class SlowWeather(Weather):
    """Knows the weather once it is let go on."""

    def __init__(self, begun: asyncio.Event, go_on: asyncio.Event) -> None:
        self._begun = begun
        self._go_on = go_on

    async def run(self, call: ToolCall, scope: ToolScope) -> AsyncIterator[ToolOutput]:
        self._begun.set()
        await self._go_on.wait()
        yield ToolOutput(text="sunny")


async def test_a_message_deleted_while_it_is_written_ends_with_its_lost_worker(
    store: SharedStore, open_server: OpenServer
) -> None:
    never = asyncio.Event()
    script = Script().says("Half of it").waits_for(never, after=1)
    async with open_server(script, finish_s=0.0) as api:
        thread, assistant = await api.thread("hi"), await api.assistant()
        run = await api.run(thread, assistant)
        await api.backend.arrived()
        while not (begun := await api.messages(thread, run_id=run["id"])):
            await asyncio.sleep(0.002)
        path = f"/v1/threads/{thread}/messages/{begun[0]['id']}"
        await api.ok(await api.server.delete(path))
    async with open_server(Script().says("All of it")) as api:
        assert (await api.ended(run))["status"] == "completed"
        assert await api.messages(thread, run_id=run["id"]) == []
        (step,) = await api.steps(run)
        assert step["status"] == "completed"


async def test_a_deleted_thread_leaves_no_job_of_a_run_that_waits(
    store: SharedStore, open_server: OpenServer
) -> None:
    async with open_server(Script().calls(tool("book_table", {}, id="call_a"))) as api:
        thread = await api.thread("hi")
        run = await api.ran(thread, await api.assistant(tools=[BOOK]))
        assert run["status"] == "requires_action"
        assert store.records("job")
        await api.ok(await api.server.delete(f"/v1/threads/{thread}"))
        assert store.records("job") == []


async def test_a_thread_can_be_deleted_while_its_run_moves_on(
    store: SharedStore, open_server: OpenServer
) -> None:
    async with open_server(Script().calls(tool("book_table", {}, id="call_a")).forever()) as api:
        assistant = await api.assistant(tools=[BOOK])
        for _ in range(20):
            thread = await api.thread("hi")
            await api.run(thread, assistant)
            await api.ok(await api.server.delete(f"/v1/threads/{thread}"))
        await nothing_left(store)


async def test_a_run_that_others_have_brought_forward_is_not_begun_anew(
    store: SharedStore, open_server: OpenServer
) -> None:
    go_on = asyncio.Event()
    busy = Script().says("Busy").waits_for(go_on, after=0).says("Booked.")
    asks = Script().calls(tool("book_table", {}, id="call_a"))
    async with open_server(busy, runs_at_once_max=1) as first:
        assistant = await first.assistant(tools=[BOOK])
        other = await first.run(await first.thread("hi"), assistant)
        await first.backend.arrived()
        # There is no room for this one, so that the second server does it.
        run = await first.run(await first.thread("hi"), assistant)
        async with open_server(asks) as second:
            run = await second.ended(run)
            assert run["status"] == "requires_action"
        go_on.set()
        await first.ended(other)
        await first.ok(await first.submit(run, call_a="table 7"))
        assert (await first.ended(run))["status"] == "completed"
        shown = first.backend.chats[-1].chat.messages
        assert (shown[-1].role, shown[-1].content) == ("tool", "table 7")
        assert {attempt for attempt, _ in await positions(first, run)} == {1}


async def test_runs_that_wait_too_long_expire_although_the_store_was_away(
    store: SharedStore, open_server: OpenServer
) -> None:
    asks = Script().calls(tool("book_table", {}, id="call_a"))
    async with open_server(asks, run_s=1) as api:
        run = await api.ran(await api.thread("hi"), await api.assistant(tools=[BOOK]))
        assert run["status"] == "requires_action"
        store.is_down = True
        await asyncio.sleep(0.1)
        store.is_down = False
        while (await api.ended(run))["status"] == "requires_action":
            await asyncio.sleep(0.02)
        assert (await api.ended(run))["status"] == "expired"
        await nothing_left(store)


async def test_a_worker_that_stood_still_past_its_lease_begins_no_call_that_others_have_made(
    store: SharedStore, open_server: OpenServer
) -> None:
    made: list[str] = []

    class Counted(Weather):
        async def run(self, call: ToolCall, scope: ToolScope) -> AsyncIterator[ToolOutput]:
            made.append(call.id)
            yield ToolOutput(text="sunny")

    class Tools(Plugin[NoSettings]):
        name = "counted_tools"

        @hookimpl
        def register_tools(self) -> list[Any]:
            return [Counted()]

    weather = {"type": "function", "function": {"name": "get_weather"}}
    script = Script().calls(tool("get_weather", {}, id="call_w"))
    # It has no second beat, as a process that gets no time has none.
    never_beats = {"heartbeat_s": 3600.0}
    async with open_server(script, jobs=never_beats, tools=Tools, finish_s=0.0) as starved:
        store.delays_answer = of("step", b'"call_w"')
        thread, assistant = await starved.thread("hi"), await starved.assistant(tools=[weather])
        run = await starved.run(thread, assistant)
        async with asyncio.timeout(20):
            await store.is_delayed.wait()
        assert made == []
        async with open_server(Script().says("Sunny."), tools=Tools) as other:
            assert (await other.ended(run))["status"] == "completed"
            assert made == ["call_w"]
            store.answers.set()
            for _ in range(1000):
                await asyncio.sleep(0)
            assert made == ["call_w"]
