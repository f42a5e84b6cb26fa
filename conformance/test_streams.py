"""Every way that a stream of ours can go, held to OpenAI's shapes of events and to their order."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path as FilePath
from typing import Any

import pytest
from tests.e2e.scripted_model import answer, scripted_server
from tests.e2e.serving import KEY, serve

from famulus import NoSettings, Plugin, hookimpl
from famulus.testing import Script, ScriptedBackend, faults, kernel_with, tool
from famulus_conformance.oracles import VARIABLE, find_oracle
from famulus_conformance.streams import (
    DEGREES,
    PATHS,
    WEATHER,
    WEATHER_ASSISTANT,
    Path,
    order_faults,
    streams,
)
from famulus_conformance.streams import (
    faults as faults_of,
)
from famulus_conformance.streams_asking import Asker
from famulus_conformance.streams_reading import StreamEvent, events_in
from famulus_conformance.streams_shapes import EventShapes
from famulus_conformance.wheel_oracle import wheel_oracle
from famulus_schemas.inference import OfferedFunction
from famulus_schemas.tooling import ToolCall, ToolKind, ToolOutput, ToolScope

GOLDEN = FilePath(__file__).parents[1] / "tests" / "plugins" / "runs" / "golden"
SERVER = (
    "sqlite",
    "events",
    "jobs",
    "assistants",
    "threads",
    "models",
    "functions",
    "runs",
    "chat",
)
EXPIRES_AFTER_S = 2


@pytest.fixture(scope="session", params=["document", "client"])
def oracle(request: pytest.FixtureRequest) -> Any:
    if request.param == "client":
        return wheel_oracle()
    if not os.environ.get(VARIABLE):
        pytest.skip(f"NO DOCUMENT: set {VARIABLE} to OpenAI's openapi.json")
    return find_oracle()


@pytest.fixture(scope="session")
def shapes(oracle: Any) -> EventShapes:
    return EventShapes(oracle)


# --- a server whose model says what a path needs ------------------------------------------------


class LookUp:
    """A function that the server runs itself."""

    type = "function"
    place = "server"

    def offers(self, definition: Mapping[str, Any]) -> Sequence[OfferedFunction]:
        name = definition["function"]["name"]
        return [OfferedFunction(name=name)] if name == "look_up" else []

    async def run(self, call: ToolCall, scope: ToolScope) -> AsyncIterator[ToolOutput]:
        yield ToolOutput(text="found")


class LookUpPlugin(Plugin[NoSettings]):
    """Brings that function."""

    name = "test_look_up"

    @hookimpl
    def register_tools(self) -> list[ToolKind]:
        return [LookUp()]


@asynccontextmanager
async def asker_of(script: Any, settings: Mapping[str, Any] | None = None) -> AsyncIterator[Asker]:
    tables = {"runs": dict(settings or {}), "models": {"backoff_s": 0.0}}
    async with kernel_with(
        *SERVER, LookUpPlugin, backend=ScriptedBackend(script), settings=tables
    ) as server:
        server.client.base_url = "http://famulus.test/v1/"
        yield Asker(server.client, "scripted")


# --- the paths that need a model of their own ----------------------------------------------------

LOOK_UP = {"tools": [{"type": "function", "function": {"name": "look_up"}}]}
EVERYTHING = {"tools": [*LOOK_UP["tools"], *WEATHER_ASSISTANT["tools"]]}
oslo = tool("get_weather", {"city": "Oslo"})
bergen = tool("get_weather", {"city": "Bergen"})
look_up = tool("look_up", {"what": "it"})


async def _submitted(asker: Asker) -> Sequence[StreamEvent]:
    return await asker.submit(await asker.run("go", WEATHER_ASSISTANT), DEGREES)


async def _cancelled(asker: Asker) -> Sequence[StreamEvent]:
    body = {"assistant_id": await asker.assistant()}
    found = []
    async with asker.stream(f"threads/{await asker.thread('go')}/runs", body) as events:
        async for event in events:
            found.append(event)
            if [each.name for each in found].count("thread.message.delta") == 1:
                run = found[0].data
                await asker.client.post(f"threads/{run['thread_id']}/runs/{run['id']}/cancel")
    return found


@dataclass
class Scripted:
    """A path, and what has our server go it."""

    path: Path
    script: Any
    settings: dict[str, Any] = field(default_factory=dict)


def a_run(
    name: str, script: Any, *tells: str, assistant: Any = None, kind: Any = "run", **arguments: Any
) -> Scripted:
    ask = arguments.pop("ask", lambda asker: asker.run("go", assistant))
    settings = arguments.pop("settings", {})
    due = tuple(f"thread.{each}" for each in tells)
    return Scripted(Path(name=name, kind=kind, ask=ask, tells=due, **arguments), script, settings)


WRITTEN = ("message.created", "message.delta", "message.completed")
CALLED = ("run.step.delta", "run.step.delta", "run.requires_action")

SCRIPTED = [
    a_run("one text", Script().says("Hello."), *WRITTEN, "run.completed"),
    a_run(
        "a text in many pieces",
        Script().says("It goes on and on and on.").cut_by(3),
        *["message.delta"] * 9,
        "run.completed",
    ),
    a_run("an empty text", Script().says(""), "message.completed", "run.completed"),
    a_run("a refusal", Script().refuses("I will not."), *WRITTEN, "run.completed"),
    a_run(
        "one call",
        Script().calls(oslo).cut_by(4),
        *CALLED,
        assistant=WEATHER_ASSISTANT,
    ),
    a_run(
        "parallel calls",
        Script().calls(oslo, bergen).cut_by(4).interleaved(),
        *CALLED,
        assistant=WEATHER_ASSISTANT,
    ),
    a_run(
        "calls that the server runs",
        Script().says("Let me look.").and_calls(look_up, look_up).says("There."),
        *WRITTEN,
        "run.step.delta",
        "run.step.completed",
        *WRITTEN,
        "run.completed",
        assistant=LOOK_UP,
    ),
    a_run(
        "calls that both run",
        Script().calls(look_up, oslo),
        *CALLED,
        assistant=EVERYTHING,
    ),
    a_run(
        "outputs, and the answer",
        Script().calls(oslo).says("Sunny."),
        "run.step.completed",
        "run.queued",
        "run.in_progress",
        *WRITTEN,
        "run.completed",
        kind="outputs",
        ask=_submitted,
    ),
    a_run(
        "outputs, and another call",
        Script().calls(oslo).calls(bergen),
        "run.step.completed",
        "run.queued",
        *CALLED,
        kind="outputs",
        ask=_submitted,
    ),
    a_run(
        "failed before the first token", Script().fails(faults.status(500)).forever(), "run.failed"
    ),
    a_run("no more of the limit", Script().fails(faults.status(429)).forever(), "run.failed"),
    a_run(
        "failed after the first token",
        Script().says("It breaks off").breaks(faults.reset(), after=1),
        "message.delta",
        "message.incomplete",
        "run.step.failed",
        "run.failed",
    ),
    a_run(
        "out of tokens",
        Script().says("It goes on and").finishes("length"),
        "message.incomplete",
        "run.step.completed",
        "run.incomplete",
    ),
    a_run(
        "filtered",
        Script().says("I was").finishes("content_filter"),
        "message.incomplete",
        "run.step.completed",
        "run.incomplete",
    ),
    a_run(
        "cancelled",
        Script().says("and on ").without_end().pauses(0.001),
        "message.delta",
        "run.cancelling",
        "message.incomplete",
        "run.step.cancelled",
        "run.cancelled",
        ask=_cancelled,
    ),
    a_run(
        "expired",
        Script().says("and on ").without_end().pauses(0.05),
        "message.delta",
        "message.incomplete",
        "run.step.expired",
        "run.expired",
        settings={"run_s": EXPIRES_AFTER_S},
    ),
    a_run(
        "created with its thread, and calls",
        Script().calls(oslo),
        "created",
        "run.created",
        *CALLED,
        kind="thread",
        ask=lambda asker: asker.create_and_run("go", **WEATHER_ASSISTANT),
    ),
    a_run(
        "a chat with parallel calls",
        Script().calls(oslo, bergen).cut_by(4).interleaved(),
        kind="chat",
        ask=lambda asker: asker.chat("go", **WEATHER_ASSISTANT),
    ),
    a_run(
        "a chat that runs out of tokens",
        Script().says("It goes on and").finishes("length"),
        kind="chat",
        ask=lambda asker: asker.chat("go", stream_options={"include_usage": True}),
        usage=True,
    ),
    a_run(
        "a chat that refuses",
        Script().refuses("I will not."),
        kind="chat",
        ask=lambda asker: asker.chat("go"),
    ),
]


@pytest.mark.parametrize("scripted", SCRIPTED, ids=lambda each: each.path.name)
async def test_a_stream_is_shaped_and_ordered_as_openais(
    scripted: Scripted, shapes: EventShapes
) -> None:
    async with asker_of(scripted.script, scripted.settings) as asker:
        events = await scripted.path.ask(asker)
    assert faults_of(shapes, scripted.path, events) == []


def told_by(transcript: FilePath) -> Iterator[StreamEvent]:
    """A transcript of the engine, between what the API itself tells before and after it."""
    events = events_in(transcript.read_text().splitlines())
    run = next(event.data for event in events if event.data.get("object") == "thread.run")
    for name in ("thread.run.created", "thread.run.queued"):
        yield StreamEvent(name, {**run, "status": "queued", "started_at": None})
    yield from events
    yield StreamEvent("done", "[DONE]")


@pytest.mark.parametrize("transcript", sorted(GOLDEN.glob("*.sse")), ids=lambda file: file.stem)
def test_a_golden_transcript_is_shaped_and_ordered_as_openais(
    transcript: FilePath, shapes: EventShapes
) -> None:
    path = Path(name=transcript.stem, kind="run", ask=lambda asker: asker.run(""))
    assert faults_of(shapes, path, list(told_by(transcript))) == []


# --- any server ----------------------------------------------------------------------------------


def test_the_streams_of_a_server_are_judged_by_its_base_url(
    oracle: Any, tmp_path: FilePath
) -> None:
    environment = {"FAMULUS_OPENAI_COMPATIBLE__DISCOVER": "false"}
    with (
        scripted_server() as url,
        serve(tmp_path, arguments=["--backend", url], environment=environment) as served,
    ):
        found = list(streams(oracle, served.base_url, KEY, "scripted"))
        refused = list(streams(oracle, served.base_url, "sk-wrong-key-of-nobody", "scripted"))
    assert [each for each in found if not each.kept] == []
    assert len(found) >= 2 * len(PATHS)
    assert {each.aspect for each in found} == {"streams"}
    assert {each.operation for each in found} <= {each.id for each in oracle.operations()}
    assert [each.kept for each in refused] == [False] * len(PATHS)
    assert all("401" in each.detail for each in refused)


def test_a_server_that_cannot_be_reached_keeps_nothing(oracle: Any) -> None:
    found = list(streams(oracle, "http://127.0.0.1:9/v1", "sk-any", "any"))
    assert [each.kept for each in found] == [False] * len(PATHS)
    assert all(each.detail for each in found)


# --- streams that are broken on purpose ----------------------------------------------------------

MESSAGE, CALL = "thread.message.delta", "thread.run.step.delta"


async def stream_with_text() -> list[StreamEvent]:
    async with asker_of(answer) as asker:
        return list(await asker.run("Say one two three"))


async def stream_with_call() -> list[StreamEvent]:
    async with asker_of(answer) as asker:
        return list(await asker.run(WEATHER, WEATHER_ASSISTANT))


def place(events: Sequence[StreamEvent], name: str, count: int = 0) -> int:
    return [number for number, event in enumerate(events) if event.name == name][count]


def moved(events: list[StreamEvent], name: str, before: str) -> list[StreamEvent]:
    """The stream with one event told before another."""
    at, to = place(events, name), place(events, before)
    rest = events[:at] + events[at + 1 :]
    return [*rest[:to], events[at], *rest[to:]]


def without(events: list[StreamEvent], name: str) -> list[StreamEvent]:
    return [event for event in events if event.name != name]


def changed(events: list[StreamEvent], name: str, change: Any, count: int = 0) -> Any:
    at = place(events, name, count)
    data = change(events[at].data)
    return [*events[:at], StreamEvent(name, data), *events[at + 1 :]]


def interleaved(events: list[StreamEvent]) -> list[StreamEvent]:
    """A second message amid the first."""
    at = place(events, MESSAGE)
    created = events[place(events, "thread.message.created")]
    second = StreamEvent(created.name, {**created.data, "id": "msg_second"})
    return [*events[:at], second, *events[at:]]


def of_part(**changes: Any) -> Any:
    """A change of the one part of a message's delta."""
    return lambda data: {
        **data,
        "delta": {"content": [{**data["delta"]["content"][0], **changes}]},
    }


def of_call(**changes: Any) -> Any:
    """A change of the one call of a step's delta."""

    def change(data: Any) -> Any:
        (call,) = data["delta"]["step_details"]["tool_calls"]
        details = {"type": "tool_calls", "tool_calls": [{**call, **changes}]}
        return {**data, "delta": {"step_details": details}}

    return change


def of(**changes: Any) -> Any:
    return lambda data: {**data, **changes}


BROKEN_TEXTS: dict[str, tuple[Any, str]] = {
    "a delta before its message": (
        lambda told: moved(told, MESSAGE, "thread.message.created"),
        "is untold, not in_progress",
    ),
    "no done": (lambda told: without(told, "done"), "ends without `done`"),
    "no end of the run": (
        lambda told: without(told, "thread.run.completed"),
        "nothing told how it ended",
    ),
    "something after done": (lambda told: [*told, told[0]], "comes after `done`"),
    "something after the run's end": (
        lambda told: moved(told, "thread.run.completed", "thread.run.step.completed"),
        "after the run is completed",
    ),
    "interleaved messages": (interleaved, "is still open: clients hold one at a time"),
    "a message before its step": (
        lambda told: moved(told, "thread.message.created", "thread.run.step.created"),
        "no open step creates this message",
    ),
    "a step that ends before its message": (
        lambda told: moved(told, "thread.run.step.completed", "thread.message.completed"),
        "is still open",
    ),
    "a run that is taken up before it is created": (
        lambda told: moved(told, "thread.run.in_progress", "thread.run.created"),
        "may become in_progress only after queued",
    ),
    "a thread that nobody asked for": (
        lambda told: [StreamEvent("thread.created", {}), *told],
        "only a run that was created with its thread",
    ),
    "a lost delta": (
        lambda told: [*told[: place(told, MESSAGE)], *told[place(told, MESSAGE) + 1 :]],
        "add up to",
    ),
    "a part without an index": (
        lambda told: changed(told, MESSAGE, of_part(index=None)),
        "no integer `index`",
    ),
    "a message that is created with its text": (
        lambda told: changed(told, "thread.message.created", of(content=[{"type": "text"}])),
        "it has content already",
    ),
    "a status that is not the event's": (
        lambda told: changed(told, "thread.run.completed", of(status="in_progress")),
        "its status is 'in_progress', not 'completed'",
    ),
    "an event of another run": (
        lambda told: changed(told, "thread.run.completed", of(id="run_other")),
        "of another run",
    ),
    "an event that there is not": (
        lambda told: [StreamEvent("thread.run.pondering", told[0].data), *told],
        "there is no such event",
    ),
}
BROKEN_CALLS: dict[str, tuple[Any, str]] = {
    "a delta before its step": (
        lambda told: moved(told, CALL, "thread.run.step.created"),
        "is untold, not in_progress",
    ),
    "a call whose id comes twice": (
        lambda told: changed(told, CALL, of_call(id="call_again"), count=1),
        "given its id or name again",
    ),
    "a call without an id": (
        lambda told: changed(told, CALL, of_call(id=None)),
        "lacks its id or name",
    ),
    "a call that begins with arguments": (
        lambda told: changed(
            told, CALL, of_call(function={"name": "get_weather", "arguments": "{"})
        ),
        "clients tell them to no handler",
    ),
    "a call without an index": (
        lambda told: changed(told, CALL, of_call(index="0")),
        "no integer `index`",
    ),
    "a step that is created with calls": (
        lambda told: changed(
            told,
            "thread.run.step.created",
            of(step_details={"type": "tool_calls", "tool_calls": [{}]}),
        ),
        "it has calls already",
    ),
    "nothing whose outputs are waited for": (
        lambda told: [event for event in told if "step" not in event.name],
        "no step of tool calls is open",
    ),
}
A_RUN = PATHS[0]


@pytest.mark.parametrize("what", BROKEN_TEXTS)
async def test_what_is_out_of_order_in_a_text_is_told(what: str) -> None:
    breaking, complaint = BROKEN_TEXTS[what]
    told = await stream_with_text()
    assert order_faults(A_RUN, told) == []
    assert [each for each in order_faults(A_RUN, breaking(told)) if complaint in each]


@pytest.mark.parametrize("what", BROKEN_CALLS)
async def test_what_is_out_of_order_in_a_call_is_told(what: str) -> None:
    breaking, complaint = BROKEN_CALLS[what]
    told = await stream_with_call()
    assert order_faults(A_RUN, told) == []
    assert [each for each in order_faults(A_RUN, breaking(told)) if complaint in each]


WRONG_SHAPES: dict[str, tuple[str, Any]] = {
    "a run without its status": ("thread.run.created", lambda data: {"id": data["id"]}),
    "a word that there is not": ("thread.run.completed", of(tool_choice=7)),
    "a text for a number": ("thread.message.completed", of(created_at="now")),
    "a delta of another kind": (MESSAGE, of(object="thread.run.step.delta")),
    "a part of no type": (MESSAGE, of_part(type="smell")),
    "no object at all": ("thread.run.step.completed", lambda data: "step"),
}


@pytest.mark.parametrize("what", WRONG_SHAPES)
async def test_an_event_of_the_wrong_shape_is_told(what: str, shapes: EventShapes) -> None:
    name, change = WRONG_SHAPES[what]
    told = await stream_with_text()
    assert [each for each in faults_of(shapes, A_RUN, told) if "due" not in each] == []
    found = faults_of(shapes, A_RUN, changed(told, name, change))
    assert [each for each in found if name in each]


async def test_an_event_that_nobody_knows_has_no_shape(shapes: EventShapes) -> None:
    assert list(shapes.complaints("thread.run.pondering", {})) == [
        "OpenAI has no event named 'thread.run.pondering'"
    ]


A_CHAT = Path(name="", kind="chat", ask=lambda asker: asker.chat(""), usage=True)


def of_first_delta(**changes: Any) -> Any:
    def change(told: list[StreamEvent]) -> list[StreamEvent]:
        data = told[0].data
        choice = {**data["choices"][0], **changes}
        return [StreamEvent("", {**data, "choices": [choice]}), *told[1:]]

    return change


BROKEN_CHATS: dict[str, tuple[Any, str]] = {
    "no done": (lambda told: told[:-1], "ends without [DONE]"),
    "no usage": (lambda told: [*told[:-2], told[-1]], "was not told"),
    "no finish_reason": (lambda told: [told[0], *told[-2:]], "no finish_reason"),
    "another id": (
        lambda told: [StreamEvent("", {**told[0].data, "id": "chatcmpl-x"}), *told[1:]],
        "its id is",
    ),
    "a finish_reason before the end": (of_first_delta(finish_reason="stop"), "goes on after"),
    "no role": (of_first_delta(delta={"content": ""}), "does not name the role"),
    "a wrong shape": (of_first_delta(index="none"), "none"),
    "a named event": (
        lambda told: [StreamEvent("chunk", told[0].data), *told[1:]],
        "it has a name",
    ),
}


@pytest.mark.parametrize("what", BROKEN_CHATS)
async def test_what_is_wrong_with_chunks_is_told(what: str, shapes: EventShapes) -> None:
    breaking, complaint = BROKEN_CHATS[what]
    async with asker_of(answer) as asker:
        told = await asker.chat("Say one two", stream_options={"include_usage": True})
    assert faults_of(shapes, A_CHAT, told) == []
    assert [each for each in faults_of(shapes, A_CHAT, breaking(told)) if complaint in each]
