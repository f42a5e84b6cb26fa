"""Runs that one process works on are heard, cancelled and led on through another."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from typing import Any

import pytest
from tests.plugins.runs.added_up import added_up

from famulus.testing import Script, ScriptedBackend, kernel_with, tool
from famulus.testing.kit import EventReader, SentEvent, TestServer
from famulus_postgres.envelopes import Closed, Said, unpack
from famulus_postgres.settings import PostgresSettings

pytestmark = pytest.mark.anyio

PLUGINS = ("postgres", "jobs", "assistants", "threads", "models", "functions", "runs")
NEVER_S = 1000.0
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
    "done",
]
BOOK = {"type": "function", "function": {"name": "book_table", "parameters": {"type": "object"}}}


class Two:
    """Two servers on one database and one model; only the first has room for runs."""

    def __init__(self, backend: ScriptedBackend) -> None:
        self.backend = backend
        self.a: TestServer
        self.b: TestServer
        self.cut_lines: Callable[[], Awaitable[None]]

    async def assistant(self, **fields: Any) -> str:
        """A new assistant, made at the first."""
        return str((await ok(self.a.post("/v1/assistants", {"model": "scripted", **fields})))["id"])

    async def thread(self) -> str:
        """A new thread, made at the second."""
        messages = [{"role": "user", "content": "hi"}]
        return str((await ok(self.b.post("/v1/threads", {"messages": messages})))["id"])


async def ok(asking: Awaitable[Any]) -> Any:
    """The JSON of a success."""
    response = await asking
    assert response.status_code == 200, response.text
    return response.json()


async def create(server: TestServer, thread: str, assistant: str) -> Any:
    return await ok(server.post(f"/v1/threads/{thread}/runs", {"assistant_id": assistant}))


def path_of(run: Any, rest: str = "") -> str:
    return f"/v1/threads/{run['thread_id']}/runs/{run['id']}{rest}"


async def at_rest(server: TestServer, run: Any) -> Any:
    """The run once it is at rest."""
    async with asyncio.timeout(30):
        while True:
            now = await ok(server.get(path_of(run)))
            if now["status"] not in ("queued", "in_progress", "cancelling"):
                return now
            await asyncio.sleep(0.01)


async def stream(
    server: TestServer, path: str, body: Any, on_event: Callable[[SentEvent], Any] = id
) -> list[SentEvent]:
    """Every event of a stream; `on_event` is told of each as it comes."""
    events = []
    async with asyncio.timeout(30), server.stream(path, body) as reader:
        async for event in reader:
            events.append(event)
            on_event(event)
    return events


async def again(server: TestServer, run: Any, after: str | None = None) -> list[SentEvent]:
    """Every event of a run, from after a place."""
    headers = {"last-event-id": after} if after else {}
    async with (
        asyncio.timeout(30),
        server.client.stream("GET", path_of(run, "/events"), headers=headers) as response,
    ):
        assert response.status_code == 200
        return await EventReader(response).all()


def is_delta(event: SentEvent) -> bool:
    return str(event.name).endswith(".delta")


@pytest.fixture
async def open_two(
    settings: PostgresSettings, cut_lines: Callable[[], Awaitable[None]]
) -> AsyncIterator[Callable[..., Awaitable[Two]]]:
    """Opens the two servers. Jobs are found by wake-ups alone."""
    assert settings.dsn is not None
    tables: dict[str, dict[str, Any]] = {
        "postgres": {
            "dsn": settings.dsn.reveal(),
            "schema": settings.schema,
            "retry_first_s": 0.01,
        },
        "jobs": {"poll_s": NEVER_S, "heartbeat_s": NEVER_S, "lease_s": NEVER_S},
    }
    async with AsyncExitStack() as stack:

        async def open_two(script: Any, *, room_at_b: int = 0, **changes: Mapping[str, Any]) -> Two:
            two = Two(ScriptedBackend(script))
            two.cut_lines = cut_lines
            for name, room in (("a", 256), ("b", room_at_b)):
                settings = {
                    **tables,
                    "jobs": {**tables["jobs"], **changes.get("jobs", {})},
                    "postgres": {**tables["postgres"], **changes.get(name, {})},
                    "runs": {"finish_s": 0.0, "runs_at_once_max": room, **changes.get("runs", {})},
                }
                server = await stack.enter_async_context(
                    kernel_with(*PLUGINS, backend=two.backend, settings=settings)
                )
                assert server.state("runs") == ("running", "")
                setattr(two, name, server)
            return two

        yield open_two


Open = Callable[..., Awaitable[Two]]

QUEUE = {"X-Famulus-On-Busy": "queue"}
CANCEL = {"X-Famulus-On-Busy": "cancel"}


async def test_a_run_waits_for_one_of_another_process_and_is_woken_by_its_end(
    open_two: Open,
) -> None:
    go_on = asyncio.Event()
    two = await open_two(Script().says("First.").waits_for(go_on).says(WORDS).says("Third."))
    thread, assistant = await two.thread(), await two.assistant()
    first = await create(two.a, thread, assistant)
    await two.backend.arrived()
    path, body = f"/v1/threads/{thread}/runs", {"assistant_id": assistant}
    posted = await ok(
        two.b.post(
            f"/v1/threads/{thread}/messages", {"role": "user", "content": "and"}, headers=QUEUE
        )
    )
    events: list[SentEvent] = []
    async with (
        asyncio.timeout(30),
        two.b.stream(path, {**body, "stream": True}, headers=QUEUE) as reader,
    ):
        async for event in reader:
            events.append(event)
            if event.name == "thread.run.queued":
                third = await ok(two.a.post(path, body, headers=QUEUE))
                assert third["status"] == "queued"
                go_on.set()
    items, told = added_up(events)
    assert told == WHOLE
    assert list(items.values()) == [WORDS]
    assert (await at_rest(two.b, first))["status"] == "completed"
    assert (await at_rest(two.b, third))["status"] == "completed"
    shown = two.backend.chats[2].chat
    assert shown is not None
    assert [message.content for message in shown.messages] == ["hi", "First.", "and", WORDS]
    listed = await ok(two.a.get(f"/v1/threads/{thread}/messages/{posted['id']}"))
    assert listed == posted


async def test_runs_that_two_processes_let_in_at_once_keep_one_order(open_two: Open) -> None:
    go_on = asyncio.Event()
    script = Script().says("zero").waits_for(go_on)
    for number in range(1, 13):
        script = script.says(str(number))
    two = await open_two(script, room_at_b=256)
    thread, assistant = await two.thread(), await two.assistant()
    await create(two.a, thread, assistant)
    await two.backend.arrived()
    path, body = f"/v1/threads/{thread}/runs", {"assistant_id": assistant}
    runs = await asyncio.gather(
        *(ok((two.a, two.b)[n % 2].post(path, body, headers=QUEUE)) for n in range(12))
    )
    go_on.set()
    for run in runs:
        assert (await at_rest(two.a, run))["status"] == "completed"
    params = {"order": "asc", "limit": 100}
    listed = (await ok(two.a.get(path, params=params)))["data"]
    messages = (await ok(two.a.get(f"/v1/threads/{thread}/messages", params=params)))["data"]
    assert [message["run_id"] for message in messages[1:]] == [run["id"] for run in listed]


async def test_a_run_has_one_of_another_process_cancelled(open_two: Open) -> None:
    script = Script().says("and on").without_end().pauses(0.01).says("Fresh.")
    two = await open_two(script)
    thread, assistant = await two.thread(), await two.assistant()
    first = await create(two.a, thread, assistant)
    request = await two.backend.arrived()
    path, body = f"/v1/threads/{thread}/runs", {"assistant_id": assistant}
    waiting = await ok(two.b.post(path, body, headers=QUEUE))
    second = await ok(two.b.post(path, body, headers=CANCEL))
    await request.ended()
    assert request.closed_early
    for run in (first, waiting):
        assert (await ok(two.b.get(path_of(run))))["status"] == "cancelled"
    assert (await at_rest(two.b, second))["status"] == "completed"
    assert len(two.backend.chats) == 2


async def test_a_stream_at_one_process_tells_all_of_a_run_at_another(open_two: Open) -> None:
    two = await open_two(Script().says(WORDS))
    thread, assistant = await two.thread(), await two.assistant()
    body = {"assistant_id": assistant, "stream": True}
    events = await stream(two.b, f"/v1/threads/{thread}/runs", body)
    items, told = added_up(events)
    assert told == WHOLE
    assert list(items.values()) == [WORDS]


async def test_a_stream_at_another_process_is_live(open_two: Open) -> None:
    go_on = asyncio.Event()
    two = await open_two(Script().says(WORDS).waits_for(go_on, after=3))
    thread, assistant = await two.thread(), await two.assistant()

    def hear(event: SentEvent) -> None:
        if is_delta(event):
            go_on.set()

    body = {"assistant_id": assistant, "stream": True}
    events = await stream(two.b, f"/v1/threads/{thread}/runs", body, hear)
    assert len([event for event in events if is_delta(event)]) > 1
    assert added_up(events)[1] == WHOLE


async def test_deltas_of_a_lively_run_come_one_by_one_to_another_process(open_two: Open) -> None:
    two = await open_two(Script().says(WORDS).pauses(0.05))
    thread, assistant = await two.thread(), await two.assistant()
    body = {"assistant_id": assistant, "stream": True}
    events = await stream(two.b, f"/v1/threads/{thread}/runs", body)
    items, told = added_up(events)
    assert told == WHOLE
    assert list(items.values()) == [WORDS]
    assert len([event for event in events if is_delta(event)]) > 5


@pytest.mark.parametrize("with_calls", [False, True])
async def test_from_every_place_the_rest_adds_up_to_the_whole(
    with_calls: bool, open_two: Open
) -> None:
    go_on = asyncio.Event()
    script = Script()
    if with_calls:
        calls = [tool("book_table", {"at": n}, id=f"call_{n}") for n in range(3)]
        script = script.calls(*calls).cut_by(3).interleaved().waits_for(go_on, after=4)
    else:
        script = script.says(WORDS).waits_for(go_on, after=4)
    two = await open_two(script)
    thread, assistant = await two.thread(), await two.assistant(tools=[BOOK])
    run = await create(two.a, thread, assistant)
    await two.backend.arrived()
    live = asyncio.create_task(again(two.a, run))
    early = [asyncio.create_task(again(two.b, run)) for _ in range(3)]
    await asyncio.sleep(0.3)
    go_on.set()
    whole = await live
    for one in early:
        assert added_up(await one) == added_up(whole)
    for place in range(len(whole)):
        rest = await again(two.b, run, whole[place - 1].id if place else None)
        assert added_up([*whole[:place], *rest]) == added_up(whole), whole[place].name


async def test_who_comes_in_the_midst_of_a_message_hears_the_rest_as_it_is_written(
    open_two: Open,
) -> None:
    go_on = asyncio.Event()
    script = Script().says(WORDS * 3).pauses(0.05).waits_for(go_on, after=3)
    two = await open_two(script, b={"first_look_s": NEVER_S})
    thread, assistant = await two.thread(), await two.assistant()
    run = await create(two.a, thread, assistant)
    while (await two.backend.arrived()).chunks_sent < 3:
        await asyncio.sleep(0.01)
    listening = asyncio.create_task(again(two.b, run))
    await asyncio.sleep(0.3)
    go_on.set()
    events = await listening
    items, told = added_up(events)
    assert told == WHOLE
    assert list(items.values()) == [WORDS * 3]
    assert len([event for event in events if is_delta(event)]) > 3


async def test_a_run_that_is_streamed_where_it_is_at_work_costs_no_telling(
    open_two: Open, payloads: Callable[[], list[str]]
) -> None:
    two = await open_two(Script().says(WORDS).forever())
    thread, assistant = await two.thread(), await two.assistant()
    body = {"assistant_id": assistant, "stream": True}
    before = len(payloads())
    for _ in range(3):
        events = await stream(two.a, f"/v1/threads/{thread}/runs", body)
        assert added_up(events)[1] == WHOLE
    # This one is told, so what was told before it would be there.
    await stream(two.b, f"/v1/threads/{thread}/runs", body)
    told = [unpack(payload)[1] for payload in payloads()[before:]]
    topics = {m.topic for messages in told for m in messages if isinstance(m, (Said, Closed))}
    assert len(topics - {"jobs"}) == 1


async def test_a_run_is_begun_where_there_is_room_by_a_wake_up_alone(open_two: Open) -> None:
    two = await open_two(Script().says("ok"))
    thread, assistant = await two.thread(), await two.assistant()
    run = await create(two.b, thread, assistant)
    assert (await at_rest(two.b, run))["status"] == "completed"


async def test_many_runs_at_once_are_each_told_whole(open_two: Open) -> None:
    two = await open_two(Script().says(WORDS).pauses(0.002).forever())
    assistant = await two.assistant()
    body = {"assistant_id": assistant, "stream": True}
    threads = [await two.thread() for _ in range(25)]
    streams = [
        asyncio.create_task(stream(two.b, f"/v1/threads/{thread}/runs", body)) for thread in threads
    ]
    for one in streams:
        items, told = added_up(await one)
        assert told == WHOLE
        assert list(items.values()) == [WORDS]


async def test_a_run_too_large_to_be_carried_is_read_from_its_log(open_two: Open) -> None:
    two = await open_two(Script().says(WORDS).pauses(0.01))
    thread = await two.thread()
    assistant = await two.assistant(instructions="So long. " * 3000)
    body = {"assistant_id": assistant, "stream": True}
    events = await stream(two.b, f"/v1/threads/{thread}/runs", body)
    items, told = added_up(events)
    assert told == WHOLE
    assert list(items.values()) == [WORDS]
    assert all(
        len(event.json()["instructions"]) == 27_000
        for event in events
        if event.name in ("thread.run.in_progress", "thread.run.completed")
    )


async def test_a_run_at_work_elsewhere_is_cancelled_and_its_model_is_left(open_two: Open) -> None:
    two = await open_two(Script().says("and on ").without_end().pauses(0.005))
    thread, assistant = await two.thread(), await two.assistant()
    run = await create(two.a, thread, assistant)
    request = await two.backend.arrived()
    listening = asyncio.create_task(again(two.b, run))
    while request.chunks_sent < 5:
        await asyncio.sleep(0.005)
    cancelled = await ok(two.b.post(path_of(run, "/cancel")))
    assert cancelled["status"] == "cancelled"
    assert request.closed_early
    _, told = added_up(await listening)
    assert told[-5:] == [
        "thread.run.cancelling",
        "thread.message.incomplete",
        "thread.run.step.cancelled",
        "thread.run.cancelled",
        "done",
    ]


async def test_a_cancel_that_was_not_heard_is_seen_once_the_line_is_back(open_two: Open) -> None:
    two = await open_two(
        Script().says("and on ").without_end().pauses(0.005),
        # The second greets the others, and then tells nothing until its line is lost.
        b={"notify_pause_s": NEVER_S, "close_s": 0.1},
        runs={"cancel_s": 30.0},
    )
    thread, assistant = await two.thread(), await two.assistant()
    run = await create(two.a, thread, assistant)
    request = await two.backend.arrived()
    cancelling = asyncio.create_task(ok(two.b.post(path_of(run, "/cancel"))))
    while (await ok(two.a.get(path_of(run))))["status"] != "cancelling":
        await asyncio.sleep(0.01)
    await two.cut_lines()
    assert (await cancelling)["status"] == "cancelled"
    assert request.closed_early


async def test_outputs_given_elsewhere_lead_the_run_on_where_it_was(open_two: Open) -> None:
    script = Script().calls(tool("book_table", {"at": 7}, id="call_a")).says(WORDS)
    two = await open_two(script)
    thread, assistant = await two.thread(), await two.assistant(tools=[BOOK])
    run = await create(two.a, thread, assistant)
    asked = await at_rest(two.b, run)
    assert asked["status"] == "requires_action"
    outputs = [{"tool_call_id": "call_a", "output": "booked"}]
    events = await stream(
        two.b, path_of(run, "/submit_tool_outputs"), {"tool_outputs": outputs, "stream": True}
    )
    items, told = added_up(events)
    assert told == [
        "thread.run.step.completed",
        "thread.run.queued",
        *WHOLE[2:],
    ]
    assert list(items.values()) == [WORDS]
    whole = await again(two.a, run)
    before = [event for event in whole if event.id and event.id not in {e.id for e in events}]
    assert added_up(before)[1][-1] == "thread.run.requires_action"


async def test_streams_survive_lines_that_are_lost_again_and_again(open_two: Open) -> None:
    two = await open_two(Script().says(WORDS).pauses(0.05).forever())
    assistant = await two.assistant()
    body = {"assistant_id": assistant, "stream": True}
    threads = [await two.thread() for _ in range(5)]
    streams = [
        asyncio.create_task(stream(two.b, f"/v1/threads/{thread}/runs", body)) for thread in threads
    ]
    for _ in range(8):
        await asyncio.sleep(0.1)
        await two.cut_lines()
    again_begun = "thread.message.created"
    for one in streams:
        items, told = added_up(await one)
        # A line that is lost in a commit can cost an attempt: then the message begins again.
        kept = [name for n, name in enumerate(told) if name != again_begun or n == FIRST_MESSAGE]
        assert kept == WHOLE
        assert list(items.values()) == [WORDS]


FIRST_MESSAGE = WHOLE.index("thread.message.created")


async def test_streams_survive_a_database_that_ends_every_session(
    open_two: Open, cut_everything: Callable[[], Awaitable[None]]
) -> None:
    two = await open_two(
        Script().says(WORDS).pauses(0.1).forever(),
        jobs={"retry_s": 0.1, "poll_s": 0.5},
        runs={"checkpoint_ms": 50},
    )
    assistant = await two.assistant()
    body = {"assistant_id": assistant, "stream": True}
    threads = [await two.thread() for _ in range(4)]
    begun = asyncio.Semaphore(0)

    def hear(event: SentEvent) -> None:
        if event.name == "thread.run.created":
            begun.release()

    streams = [
        asyncio.create_task(stream(two.b, f"/v1/threads/{thread}/runs", body, hear))
        for thread in threads
    ]
    for _ in streams:
        await begun.acquire()
    for _ in range(4):
        await asyncio.sleep(0.3)
        await cut_everything()
    for one in streams:
        events = await one
        # A run whose commit was given up begins its message again, as one whose worker died.
        numbers = [_number(event) for event in events[:-1] if not is_delta(event)]
        assert numbers == list(range(1, len(numbers) + 1))
        items, told = added_up(events)
        assert told[-2:] == ["thread.run.completed", "done"]
        assert list(items.values()) == [WORDS]


def _number(event: SentEvent) -> int:
    return int(str(event.id).rpartition(":")[2].split(".")[1])


async def test_what_was_told_to_nobody_is_found_by_looking(open_two: Open) -> None:
    """As where a process dies between a commit and the telling of it."""
    go_on = asyncio.Event()
    two = await open_two(
        Script().says(WORDS).waits_for(go_on, after=3),
        # The first greets the others, and then has told nothing for a long time.
        a={"notify_pause_s": NEVER_S, "close_s": 0.1},
        b={"first_look_s": 0.05, "interest_s": 0.3},
    )
    thread, assistant = await two.thread(), await two.assistant()
    run = await create(two.a, thread, assistant)
    await two.backend.arrived()
    listening = asyncio.create_task(again(two.b, run))
    await asyncio.sleep(0.1)
    go_on.set()
    items, told = added_up(await listening)
    assert told == WHOLE
    assert list(items.values()) == [WORDS]


async def test_a_run_goes_on_elsewhere_when_its_server_stops(open_two: Open) -> None:
    never = asyncio.Event()
    script = Script().says("Half of it").waits_for(never, after=2).says("All of it.")
    two = await open_two(script, room_at_b=4)
    thread, assistant = await two.thread(), await two.assistant()
    run = await create(two.a, thread, assistant)
    await two.backend.arrived()
    listening = asyncio.create_task(again(two.b, run))
    while not (await ok(two.b.get(f"/v1/threads/{thread}/messages?run_id={run['id']}")))["data"]:
        await asyncio.sleep(0.01)
    await two.a.kernel.stop()
    events = await listening
    items, told = added_up(events)
    assert told.count("thread.message.created") == 2
    assert [name for name in told if name != "thread.message.created"] == [
        name for name in WHOLE if name != "thread.message.created"
    ]
    assert list(items.values()) == ["All of it."]
    messages = await ok(two.b.get(f"/v1/threads/{thread}/messages?run_id={run['id']}"))
    assert len(messages["data"]) == 1
