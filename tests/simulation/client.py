"""Clients: what they do to threads and runs, and what they were answered."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from random import Random
from typing import TYPE_CHECKING, Any, Literal

import msgspec
from starlette.datastructures import Headers
from tests.simulation.server import FORESEEN, Server
from tests.simulation.transcript import Transcript, frames_in

from famulus import Call, EventStream, Wire
from famulus.sse import serve_frames
from famulus_runs.additions import RunAdditions
from famulus_runs.event_operations import EventQuery
from famulus_schemas.errors import Problem
from famulus_schemas.identity import Principal
from famulus_schemas.messages import CreateMessage
from famulus_schemas.runs import CreateRun, ModifyRun, RunQuery, SubmitToolOutputs, ToolOutput
from famulus_schemas.threads import CreateThread, OnBusy

if TYPE_CHECKING:
    from tests.simulation.world import World

PROJECT = "default"
PATIENCE_S = 4.0
"""How long a client waits for an answer before it gives up on it."""

SILENCE_S = 6.0
"""How long a stream may say nothing once its run is over."""

Outcome = Literal["ok", "refused", "unknown"]
Operation = Callable[[Server, Call], Awaitable[Any]]


class Answer(msgspec.Struct, frozen=True):
    """What became of a request. An unknown one may have taken effect, or may yet."""

    outcome: Outcome
    value: Any = None
    stream: Any = None


class Broken(Exception):
    """A connection broke off."""


class Connection:
    """A client's connection to a server, while one answer goes over it."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.answer: asyncio.Future[Answer] = server.world.loop.create_future()
        self._chunks: deque[bytes] = deque()
        self._is_ended = False
        self._is_broken = False
        self._news = asyncio.Event()
        self._has_left = asyncio.Event()
        server.connections[self] = None

    # --- the client's end ---------------------------------------------------------------------

    async def read(self) -> bytes | None:
        """The next piece of a stream; None where it has ended. Raises Broken."""
        while not self._chunks:
            if self._is_ended:
                return None
            if self._is_broken:
                raise Broken
            self._news.clear()
            await self._news.wait()
        return self._chunks.popleft()

    def leave(self) -> None:
        """Hang up."""
        self._has_left.set()
        self.server.connections.pop(self, None)

    # --- the server's end ---------------------------------------------------------------------

    def reply(self, answer: Answer) -> None:
        """Send the answer, or the head of one that streams."""
        if not self.answer.done():
            self.answer.set_result(answer)

    def break_off(self) -> None:
        """The server is gone."""
        self._is_broken = True
        self._news.set()
        self.server.connections.pop(self, None)
        self.reply(Answer("unknown"))

    async def send(self, message: Any) -> None:
        """As ASGI's send."""
        await self.server.breathe()
        if message["body"]:
            self._chunks.append(message["body"])
        self._is_ended = not message["more_body"]
        self._news.set()

    async def receive(self) -> Any:
        """As ASGI's receive: nothing, until the client leaves."""
        await self._has_left.wait()
        return {"type": "http.disconnect"}


async def request(
    world: World,
    operation: Operation,
    server: Server | None = None,
    *,
    headers: Mapping[str, str] = {},
) -> Answer:
    """Have a server do an operation."""
    server = server or await world.some_server()
    connection = Connection(server)
    world.loop.start(server, _serve(server, operation, connection, headers))
    try:
        async with asyncio.timeout(PATIENCE_S):
            return await connection.answer
    except TimeoutError:
        connection.leave()
        return Answer("unknown")


async def _serve(
    server: Server, operation: Operation, connection: Connection, given: Mapping[str, str]
) -> None:
    """What the kernel does with a request, on the server's side."""
    headers = Headers(given)
    call = Call(
        method="POST",
        path="",
        query_string=b"",
        headers=headers,
        client="",
        request_id="req",
        principal=Principal(id="client", project=PROJECT),
    )
    frames = None
    try:
        await server.breathe()
        if not server.is_up:
            connection.reply(Answer("refused", "down"))
            return
        value = await operation(server, call)
        if isinstance(value, EventStream):
            frames = value.frames
        elif isinstance(value, Wire):
            value = msgspec.json.decode(value.data)
        else:
            value = msgspec.to_builtins(value)
        await server.breathe()
    except Problem as problem:
        connection.reply(Answer("refused", problem.body.message))
    except FORESEEN as error:
        server.note("answers 5xx", error)
        connection.reply(Answer("unknown", str(error)))
    else:
        connection.reply(Answer("ok", value, connection if frames is not None else None))
    if frames is not None:
        try:
            await serve_frames(
                frames, connection.receive, connection.send, heartbeat_s=None, send_s=30.0
            )
        except FORESEEN as error:
            server.note("stream broken", error)
            connection.break_off()
    server.connections.pop(connection, None)


class Created(msgspec.Struct, kw_only=True):
    """A run as its client knows it."""

    mark: str
    thread: str
    outcome: Outcome
    id: str = ""
    is_cancelled: bool = False
    """Whether a cancel was answered with success."""
    edits: list[tuple[str, Outcome]] = []
    submits: list[tuple[dict[str, str], Outcome]] = []


class Thread(msgspec.Struct, kw_only=True):
    """A thread as its client knows it."""

    id: str
    runs: list[Created] = []
    messages: list[tuple[str, Outcome]] = []
    """Texts that were added, and what became of that."""
    answered: list[tuple[str, str, Any]] = []
    """Kind, id and body of what was made and answered."""
    deleted_messages: list[str] = []
    deleted: Outcome | None = None


class Hurry:
    """How little a client waits for its runs: chance of its own, apart from all other chance."""

    def __init__(self, rng: Random) -> None:
        self._rng = rng
        self.on_busy: OnBusy | None = rng.choice((None, None, None, "queue", "queue", "cancel"))
        self.runs_more = rng.choice((0, 1, 3)) if self.on_busy else 0
        """Runs that it makes beyond what others do."""

    def headers(self) -> Mapping[str, str]:
        """What it asks of a busy thread, mostly."""
        if self.on_busy is None or self._rng.random() < 0.1:
            return {}
        return {"x-famulus-on-busy": self.on_busy}

    def does_not_wait(self) -> bool:
        """Whether it goes on though the run that it has just made is not over."""
        return self.on_busy is not None and self._rng.random() < 0.7


class Story:
    """One client and its thread, from the first request to the last."""

    def __init__(self, world: World, number: int, rng: Random, hurry: Hurry) -> None:
        self._world = world
        self._number = number
        self._rng = rng
        self._hurry = hurry
        self._beside: list[asyncio.Task[None]] = []
        self._streams = 0
        self.threads: list[Thread] = []

    @property
    def runs(self) -> list[Created]:
        """Every run that was asked for."""
        return [run for thread in self.threads for run in thread.runs]

    async def live(self) -> None:
        """Make a thread, and some runs on it one after the other."""
        thread = await self._thread()
        for number in range(self._rng.choice((1, 1, 2, 3)) + self._hurry.runs_more):
            if self._world.is_calm:
                break
            if self._chance(0.3):
                await self._say(thread, f"said {self._number}.{number}")
            await self._run(thread, number)
        heard = 0
        while more := self._beside[heard:]:
            heard += len(more)
            await asyncio.gather(*more)

    # --- small talk ---------------------------------------------------------------------------

    def _chance(self, likelihood: float) -> bool:
        return self._rng.random() < likelihood

    async def _pause(self, seconds_max: float) -> None:
        await asyncio.sleep(self._rng.random() * seconds_max)

    def _aside(self, coroutine: Any) -> None:
        self._beside.append(asyncio.create_task(coroutine))

    async def _ask(
        self, what: str, operation: Operation, *, headers: Mapping[str, str] = {}
    ) -> Answer:
        answer = await request(self._world, operation, headers=headers)
        told = answer.value if answer.outcome == "refused" else ""
        self._world.note(f"client {self._number}", what, answer.outcome, told)
        return answer

    async def _thread(self) -> Thread:
        body = CreateThread(messages=[CreateMessage(role="user", content="hi")])
        while True:
            answer = await self._ask(
                "thread", lambda server, call: server.of_threads.create_thread(call, body)
            )
            if answer.outcome == "ok":
                id = answer.value["id"]
                self.threads.append(Thread(id=id, answered=[("thread", id, answer.value)]))
                return self.threads[-1]
            await self._pause(2.0)

    async def _say(self, thread: Thread, text: str) -> None:
        body = CreateMessage(role="user", content=text)
        answer = await self._ask(
            "say",
            lambda server, call: server.of_messages.create_message(call, thread.id, body),
            headers=self._hurry.headers(),
        )
        thread.messages.append((text, answer.outcome))
        if answer.outcome == "ok":
            thread.answered.append(("message", answer.value["id"], answer.value))

    # --- runs ---------------------------------------------------------------------------------

    async def _run(self, thread: Thread, number: int) -> None:
        mark = f"{self._number}.{number}"
        stream = self._chance(0.5)
        metadata = {"mark": mark}
        more = [CreateMessage(role="user", content=f"with {mark}")] if self._chance(0.3) else None
        body = CreateRun(
            assistant_id="asst_1", stream=stream, metadata=metadata, additional_messages=more
        )
        answer = await self._ask(
            f"run {mark}",
            lambda server, call: server.of_runs.create_run(call, thread.id, body, RunQuery()),
            headers=self._hurry.headers(),
        )
        created = Created(mark=mark, thread=thread.id, outcome=answer.outcome)
        thread.runs.append(created)
        if more:
            thread.messages.append((f"with {mark}", answer.outcome))
        transcript = Transcript(self._world.watch, f"stream of {mark}")
        if answer.outcome == "ok" and stream:
            await self._hear_first(answer.stream, transcript)
            created.id = transcript.run_id
            if created.id:
                self._aside(self._listen(created, transcript, answer.stream))
        elif answer.outcome == "ok":
            created.id = answer.value["id"]
            thread.answered.append(("run", created.id, answer.value))
        if not created.id:
            created.id = await self._search(thread, mark)
        if created.id:
            self._company(thread, created)
            if self._hurry.does_not_wait():
                self._aside(self._wait(thread, created))
            else:
                await self._wait(thread, created)

    async def _hear_first(self, stream: Connection, transcript: Transcript) -> None:
        """The first events, which tell the run's id; nothing where the connection breaks."""
        with suppress(Broken, TimeoutError):
            async with asyncio.timeout(PATIENCE_S):
                while not transcript.run_id and (chunk := await stream.read()) is not None:
                    for frame in frames_in(chunk):
                        transcript.take(frame)

    async def _search(self, thread: Thread, mark: str) -> str:
        """The id of a run of which no answer came, if there is one yet."""
        for stored in self._world.stored(PROJECT, "run", thread.id):
            if stored["metadata"].get("mark") == mark:
                return str(stored["id"])
        return ""

    def _company(self, thread: Thread, run: Created) -> None:
        """Others who have to do with the run while it is at work."""
        for number in range(self._rng.choice((0, 0, 1, 2))):
            who = f"listener {number} of {run.mark}"
            self._aside(self._listen(run, Transcript(self._world.watch, who)))
        if self._chance(0.2):
            self._aside(self._cancel(run))
        if self._chance(0.3):
            self._aside(self._edit(run))
        if self._chance(0.15):
            self._aside(self._delete_a_message(thread, run))
        if self._chance(0.05):
            self._aside(self._delete_thread(thread))
        if self._chance(0.2):
            self._aside(self._interrupt(thread, run))

    async def _wait(self, thread: Thread, run: Created) -> None:
        """Poll until the run is over, and answer what it asks."""
        patience = self._rng.choice((0.2, 0.2, 0.7, 45.0))
        pause = min(patience, 1.0)
        while not self._world.is_over and thread.deleted is None:
            await asyncio.sleep(pause)
            pause = min(1.3 * pause, 1.5)
            answer = await request(
                self._world,
                lambda server, call: server.of_runs.retrieve_run(
                    call, thread.id, run.id, RunAdditions()
                ),
            )
            if answer.outcome == "refused" and answer.value != "down":
                return
            if answer.outcome != "ok":
                continue
            status = answer.value["status"]
            if status == "requires_action" and patience < 2.0:
                await self._answer_calls(thread, run, answer.value)
                pause = patience
            elif status not in ("queued", "in_progress", "cancelling", "requires_action"):
                return

    async def _answer_calls(self, thread: Thread, run: Created, asked: Any) -> None:
        calls = asked["required_action"]["submit_tool_outputs"]["tool_calls"]
        ids = [call["id"] for call in calls]
        if self._chance(0.2):
            await self._pause(5.0)
        times = 2 if self._chance(0.3) else 1
        await asyncio.gather(*(self._submit(thread, run, ids) for _ in range(times)))
        if self._chance(0.1):
            # Once more, too late.
            await self._submit(thread, run, ids)

    async def _submit(self, thread: Thread, run: Created, ids: list[str]) -> None:
        outputs = {id: self._world.make_id("out") for id in ids}
        stream = self._chance(0.3)
        body = SubmitToolOutputs(
            tool_outputs=[ToolOutput(tool_call_id=id, output=out) for id, out in outputs.items()],
            stream=stream,
        )
        answer = await self._ask(
            f"submit {run.mark}",
            lambda server, call: server.of_runs.submit_tool_outputs_to_run(
                call, thread.id, run.id, body
            ),
        )
        run.submits.append((outputs, answer.outcome))
        if answer.stream is not None:
            transcript = Transcript(self._world.watch, f"stream after submit of {run.mark}")
            self._aside(self._listen(run, transcript, answer.stream))

    # --- company ------------------------------------------------------------------------------

    async def _cancel(self, run: Created) -> None:
        await self._pause(6.0)
        answer = await self._ask(
            f"cancel {run.mark}",
            lambda server, call: server.of_runs.cancel_run(call, run.thread, run.id),
        )
        if answer.outcome == "ok":
            run.is_cancelled = True
            status = answer.value["status"]
            self._world.watch.hold(
                "a cancelled run says so", status in ("cancelled", "cancelling"), (run.id, status)
            )

    async def _edit(self, run: Created) -> None:
        for number in range(self._rng.choice((1, 3))):
            await self._pause(2.0)
            await self._edit_once(run, f"edit {number}")

    async def _edit_once(self, run: Created, value: str) -> None:
        body = ModifyRun(metadata={"mark": run.mark, "edit": value})
        answer = await self._ask(
            f"edit {run.mark}",
            lambda server, call: server.of_runs.modify_run(call, run.thread, run.id, body),
        )
        run.edits.append((value, answer.outcome))

    async def _interrupt(self, thread: Thread, run: Created) -> None:
        await self._pause(3.0)
        await self._say(thread, f"amid {run.mark}")

    async def _delete_a_message(self, thread: Thread, run: Created) -> None:
        await self._pause(4.0)
        stored = self._world.stored(PROJECT, "message", thread.id)
        mine = [message["id"] for message in stored if message["run_id"] == run.id]
        if mine:
            id = self._rng.choice(mine)
            thread.deleted_messages.append(id)
            await self._ask(
                f"delete {id}",
                lambda server, call: server.of_messages.delete_message(call, thread.id, id),
            )

    async def _delete_thread(self, thread: Thread) -> None:
        await self._pause(6.0)
        thread.deleted = "unknown"
        answer = await self._ask(
            f"delete {thread.id}",
            lambda server, call: server.of_threads.delete_thread(call, thread.id),
        )
        thread.deleted = answer.outcome

    # --- listening ----------------------------------------------------------------------------

    async def _listen(
        self, run: Created, transcript: Transcript, stream: Connection | None = None
    ) -> None:
        """Hear a run to its end, over as many connections as it takes."""
        if stream is None:
            await self._pause(3.0)
        self._streams += 1
        while not transcript.is_over and not self._world.is_over:
            if stream is None:
                stream = await self._again(run, transcript)
            if stream is not None:
                await self._hear(run, transcript, stream)
                stream = None
            if transcript.is_over or await self._is_gone(run):
                return
            await asyncio.sleep(0.5 + self._rng.random())

    async def _is_gone(self, run: Created) -> bool:
        return self._world.watch.status_of(PROJECT, run.id) is None

    async def _again(self, run: Created, transcript: Transcript) -> Connection | None:
        query = EventQuery(after=transcript.last_id)
        answer = await request(
            self._world,
            lambda server, call: server.of_events.stream_run_events(
                call, run.thread, run.id, query
            ),
        )
        stream: Connection | None = answer.stream
        return stream

    async def _hear(self, run: Created, transcript: Transcript, stream: Connection) -> None:
        """One connection, until it ends, breaks, or the listener has enough of it."""
        left = self._rng.choice((1, 3, 10)) if self._chance(0.4) else 10_000
        if self._world.is_calm:
            left = 10_000
        silent_since = self._world.loop.time()
        try:
            while left > 0:
                try:
                    async with asyncio.timeout(2.0):
                        chunk = await stream.read()
                except TimeoutError:
                    if not self._is_patient(run, transcript, stream, silent_since):
                        return
                    continue
                if chunk is None:
                    return
                silent_since = self._world.loop.time()
                for frame in frames_in(chunk):
                    transcript.take(frame)
                    left -= 1
                    if left <= 0:
                        break
        except Broken:
            return
        finally:
            stream.leave()

    def _is_patient(
        self, run: Created, transcript: Transcript, stream: Connection, silent_since: float
    ) -> bool:
        """Whether to wait on for a stream that is silent. It must not be so after the run."""
        now = self._world.loop.time()
        server = stream.server
        if server.is_stopped or now < server.cut_off_until:
            return False
        rests_since = self._world.watch.rests_since.get(run.id)
        since = max(silent_since, rests_since or now, server.troubled_until)
        if now - since > SILENCE_S:
            who = f"{transcript.run_id} at {server}, silent since {silent_since:.3f}"
            self._world.watch.violated("a stream ends with its run", who)
            return False
        return True
