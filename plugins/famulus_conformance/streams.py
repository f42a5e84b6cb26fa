"""Streams of any server, event by event: their shapes, their order, and what they must tell.

OpenAI's document has no operation that answers with server-sent events of a run, so a fuzzer
never looks at one; here is where they are judged. A path is one way that a stream can go.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any, Literal

import httpx
import msgspec

from famulus_conformance.findings import Finding
from famulus_conformance.oracle import Oracle
from famulus_conformance.ordering import Begins, Ordering
from famulus_conformance.streams_asking import FORCED, GET_WEATHER, Asker, NoStream
from famulus_conformance.streams_chat import ChunkOrdering
from famulus_conformance.streams_reading import DONE, StreamEvent
from famulus_conformance.streams_shapes import EventShapes

TIMEOUT_S = 120.0
"""For one answer: the models of other servers may be slow."""
COMPLAINTS_MAX = 5
"""Told of one path in one respect."""

Kind = Begins | Literal["chat", "completion"]

OPERATIONS: dict[Kind, tuple[str, str]] = {
    "run": ("POST", "/threads/{thread_id}/runs"),
    "thread": ("POST", "/threads/runs"),
    "outputs": ("POST", "/threads/{thread_id}/runs/{run_id}/submit_tool_outputs"),
    "chat": ("POST", "/chat/completions"),
    "completion": ("POST", "/completions"),
}
CHUNKS: dict[Kind, str] = {"chat": "chat.completion.chunk", "completion": "text_completion"}

ASKED = "Say Lagos 731"
WEATHER = "What is the weather in Reykjavik?"
DEGREES = "17 degrees"
TOKENS_MAX = 16

Ask = Callable[[Asker], Awaitable[Sequence[StreamEvent]]]


class Path(msgspec.Struct, frozen=True, kw_only=True):
    """One way that a stream can go, and how to have it go there."""

    name: str
    kind: Kind
    ask: Ask
    tells: tuple[str, ...] = ()
    """Events that must be among it, in this order."""
    usage: bool = False
    """Whether it asks for the usage at the end of chunks."""


WEATHER_ASSISTANT = {"tools": [GET_WEATHER]}


async def _calls(asker: Asker) -> Sequence[StreamEvent]:
    return await asker.run(WEATHER, WEATHER_ASSISTANT, tool_choice=FORCED)


async def _outputs(asker: Asker) -> Sequence[StreamEvent]:
    waiting = await asker.run(WEATHER, WEATHER_ASSISTANT, tool_choice=FORCED)
    return await asker.submit(waiting, DEGREES)


SAID = ("thread.message.created", "thread.message.delta", "thread.message.completed")

PATHS = (
    Path(
        name="plain text",
        kind="run",
        ask=lambda asker: asker.run(ASKED),
        tells=(*SAID, "thread.run.step.completed", "thread.run.completed"),
    ),
    Path(
        name="a new thread",
        kind="thread",
        ask=lambda asker: asker.create_and_run(ASKED),
        tells=("thread.created", "thread.run.created", *SAID, "thread.run.completed"),
    ),
    Path(
        name="a function call",
        kind="run",
        ask=_calls,
        tells=("thread.run.step.created", "thread.run.step.delta", "thread.run.requires_action"),
    ),
    Path(
        name="outputs of a function",
        kind="outputs",
        ask=_outputs,
        tells=("thread.run.step.completed", "thread.run.queued", "thread.run.in_progress"),
    ),
    Path(name="a chat", kind="chat", ask=lambda asker: asker.chat(ASKED)),
    Path(
        name="a chat with its usage",
        kind="chat",
        ask=lambda asker: asker.chat(ASKED, stream_options={"include_usage": True}),
        usage=True,
    ),
    Path(
        name="a chat that calls a function",
        kind="chat",
        ask=lambda asker: asker.chat(WEATHER, tools=[GET_WEATHER], tool_choice=FORCED),
    ),
    Path(
        name="a completion",
        kind="completion",
        ask=lambda asker: asker.completion(ASKED, max_tokens=TOKENS_MAX),
    ),
    Path(
        name="a completion with its usage",
        kind="completion",
        ask=lambda asker: asker.completion(
            ASKED, max_tokens=TOKENS_MAX, stream_options={"include_usage": True}
        ),
        usage=True,
    ),
)
"""The paths that every server with any model can be taken along."""


def streams(oracle: Oracle, base_url: str, api_key: str, model: str) -> Iterator[Finding]:
    """What the streams of a server with any base URL are like, path by path."""
    shapes = EventShapes(oracle)
    for path in PATHS:
        yield from asyncio.run(_walked(oracle, shapes, path, base_url, api_key, model))


async def _walked(
    oracle: Oracle, shapes: EventShapes, path: Path, base_url: str, api_key: str, model: str
) -> list[Finding]:
    async with httpx.AsyncClient(
        base_url=base_url.rstrip("/") + "/",
        headers={"authorization": f"Bearer {api_key}", "openai-beta": "assistants=v2"},
        timeout=TIMEOUT_S,
    ) as client:
        try:
            events = await path.ask(Asker(client, model))
        except (NoStream, httpx.HTTPError) as error:
            detail = str(error) or type(error).__name__
            return [_finding(oracle, path, "it is a stream", [detail])]
    return list(findings(oracle, shapes, path, events))


def findings(
    oracle: Oracle, shapes: EventShapes, path: Path, events: Sequence[StreamEvent]
) -> Iterator[Finding]:
    """What one stream is like, in three respects."""
    yield _finding(oracle, path, "every event has its shape", shape_faults(shapes, path, events))
    yield _finding(oracle, path, "the events are in order", order_faults(path, events))
    if path.tells:
        yield _finding(oracle, path, "all is told that is due", untold(path, events))


def faults(shapes: EventShapes, path: Path, events: Sequence[StreamEvent]) -> list[str]:
    """All that is wrong with one stream."""
    return [
        *shape_faults(shapes, path, events),
        *order_faults(path, events),
        *untold(path, events),
    ]


def shape_faults(shapes: EventShapes, path: Path, events: Sequence[StreamEvent]) -> list[str]:
    """Where the data of an event is not as the oracle has it."""
    found = []
    for number, event in enumerate(events, 1):
        if event.data == DONE:
            # What there is to be held to here is its place, and that is for the order to say.
            continue
        name = CHUNKS.get(path.kind) or event.name
        found += [_told(number, name, each) for each in shapes.complaints(name, event.data)]
    return found


def order_faults(path: Path, events: Sequence[StreamEvent]) -> list[str]:
    """Where an event may not stand where it does."""
    if path.kind == "chat" or path.kind == "completion":
        chunks = ChunkOrdering(usage=path.usage)
        found = [
            _told(number, "chunk", each)
            for number, event in enumerate(events, 1)
            for each in chunks.read(event)
        ]
        return [*found, *chunks.end()]
    order = Ordering(path.kind)
    found = [
        _told(number, event.name, each)
        for number, event in enumerate(events, 1)
        for each in order.read(event.name, event.data)
    ]
    return [*found, *order.end()]


def untold(path: Path, events: Sequence[StreamEvent]) -> list[str]:
    """The first of the due events that is not there, or not after those before it."""
    names = iter([event.name for event in events])
    missing = [due for due in path.tells if due not in names]
    return [f"nothing told of {missing[0]}"] if missing else []


def _told(number: int, name: str, complaint: str) -> str:
    return f"event {number}, {name}: {complaint}"


def _finding(oracle: Oracle, path: Path, what: str, complaints: Sequence[str]) -> Finding:
    return Finding(
        operation=_operation(oracle, path.kind),
        aspect="streams",
        what=f"{path.name}: {what}",
        kept=not complaints,
        detail="; ".join(complaints[:COMPLAINTS_MAX]),
    )


def _operation(oracle: Oracle, kind: Kind) -> Any:
    for operation in oracle.operations():
        if (operation.method, operation.path) == OPERATIONS[kind]:
            return operation.id
    raise LookupError(f"the oracle has no {' '.join(OPERATIONS[kind])}")
