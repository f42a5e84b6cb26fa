"""What holds for the chunks of a streamed chat or completion, one after the other.

Their events have no names: each is a chunk, and the last is `[DONE]`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from famulus_conformance.streams_reading import DONE, StreamEvent

SAME = ("id", "created", "model", "object")
"""What every chunk of an answer says alike."""


class ChunkOrdering:
    """Reads the chunks of one answer, and says of each what is wrong with it."""

    def __init__(self, *, usage: bool = False) -> None:
        self._wants_usage = usage
        self._first: Any = None
        self._finished: dict[Any, Any] = {}
        """Why each choice ended, as far as it did."""
        self._calls: set[tuple[Any, Any]] = set()
        self._usage_told = False
        self._done = False

    def read(self, event: StreamEvent) -> Iterator[str]:
        """What is wrong with the next event; nothing if it may stand here."""
        if self._done:
            yield "it comes after [DONE]"
        if event.name:
            yield f"it has a name, {event.name!r}"
        if event.data == DONE:
            self._done = True
            return
        if not isinstance(event.data, dict):
            yield f"it is no chunk: {event.data!r}"
            return
        yield from self._chunk(event.data)

    def end(self) -> Iterator[str]:
        """What is wrong with the stream's ending here."""
        if not self._done:
            yield "the stream ends without [DONE]"
        if not self._finished or None in self._finished.values():
            yield "a choice has no finish_reason"
        if self._wants_usage and not self._usage_told:
            yield "the usage that was asked for was not told"

    def _chunk(self, chunk: dict[str, Any]) -> Iterator[str]:
        self._first = self._first or chunk
        for name in SAME:
            if chunk.get(name) != self._first.get(name):
                yield f"its {name} is {chunk.get(name)!r}, not {self._first.get(name)!r}"
        yield from self._usage(chunk)
        choices = chunk.get("choices")
        for choice in choices if isinstance(choices, list) else ():
            yield from self._choice(choice)

    def _usage(self, chunk: dict[str, Any]) -> Iterator[str]:
        if self._usage_told:
            yield "it comes after the usage"
        usage = chunk.get("usage")
        if not self._wants_usage:
            if usage is not None:
                yield "it tells a usage that nobody asked for"
        elif usage is None:
            if "usage" not in chunk:
                yield "its usage is left out, not null"
        else:
            self._usage_told = True
            if chunk.get("choices") != []:
                yield "the chunk with the usage has choices"

    def _choice(self, choice: Any) -> Iterator[str]:
        if not isinstance(choice, dict):
            return
        index = choice.get("index")
        if self._finished.get(index) is not None:
            yield f"choice {index} goes on after its finish_reason"
        delta = choice.get("delta")
        if isinstance(delta, dict):
            if index not in self._finished and delta.get("role") != "assistant":
                yield f"the first delta of choice {index} does not name the role"
            yield from self._call_deltas(index, delta)
        self._finished[index] = choice.get("finish_reason")

    def _call_deltas(self, choice: Any, delta: dict[str, Any]) -> Iterator[str]:
        calls = delta.get("tool_calls")
        for call in calls if isinstance(calls, list) else ():
            at = call.get("index") if isinstance(call, dict) else None
            if not isinstance(at, int):
                yield f"a call has no integer `index` but {at!r}"
                continue
            function = call.get("function") or {}
            is_first = (choice, at) not in self._calls
            self._calls.add((choice, at))
            if is_first and not (call.get("id") and function.get("name")):
                yield f"the first delta of call {at} lacks its id or name"
            if not is_first and (call.get("id") or function.get("name")):
                yield f"call {at} is given its id or name again: clients would join the two"
