"""Reads server-sent events, from any server that sends them."""

from __future__ import annotations

import json
from collections.abc import AsyncIterable, AsyncIterator, Iterable
from typing import Any

import msgspec

DONE = "[DONE]"
EVENTS_MAX = 10_000
"""Events that are read of one stream: what a check asks for is told in far fewer."""


class StreamEvent(msgspec.Struct, frozen=True):
    """One event as it came."""

    name: str
    """What its `event:` line says; empty where it has none."""
    data: Any
    """Its data: decoded if it is JSON, else the text."""


class EventLines:
    """Puts the lines of a stream together to events; comments and `id:` say nothing here."""

    def __init__(self) -> None:
        self._name = ""
        self._data: list[str] = []

    def take(self, line: str) -> StreamEvent | None:
        """The event that this line completes, if it does."""
        if line:
            self._note(line)
            return None
        event = None
        if self._data:
            event = StreamEvent(self._name, decoded("\n".join(self._data)))
        self._name, self._data = "", []
        return event

    def _note(self, line: str) -> None:
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if field == "event":
            self._name = value
        elif field == "data":
            self._data.append(value)


def decoded(text: str) -> Any:
    """JSON as what it says, anything else as the text that it is."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def events_in(lines: Iterable[str]) -> list[StreamEvent]:
    """Every event of a stream that is all there."""
    gathered = EventLines()
    found = (gathered.take(line) for line in (*lines, ""))
    return [event for event in found if event is not None]


async def events_of(lines: AsyncIterable[str]) -> AsyncIterator[StreamEvent]:
    """Each event as it comes, up to `EVENTS_MAX`."""
    gathered = EventLines()
    count = 0
    async for line in lines:
        event = gathered.take(line)
        if event is None:
            continue
        yield event
        count += 1
        if count == EVENTS_MAX:
            return
