"""What one listener has heard of a run, added up as the official clients add it up."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import msgspec
from tests.plugins.runs.added_up import add_entry

if TYPE_CHECKING:
    from tests.simulation.watch import Watch

TERMINAL = frozenset(
    f"thread.run.{end}" for end in ("completed", "incomplete", "failed", "cancelled", "expired")
)
WAITS = frozenset({"thread.run.requires_action"})
_ITEM_ENDS = frozenset(
    {
        "thread.message.completed",
        "thread.message.incomplete",
        *(f"thread.run.step.{end}" for end in ("completed", "failed", "cancelled", "expired")),
    }
)


class Frame(msgspec.Struct, frozen=True):
    """One event as it came."""

    name: str
    data: bytes
    id: str


def frames_in(chunk: bytes) -> Iterator[Frame]:
    """The events of a piece of a stream; the server sends whole ones."""
    for block in chunk.split(b"\n\n"):
        fields = dict(line.partition(b": ")[::2] for line in block.split(b"\n") if line)
        if fields:
            name, id = fields.get(b"event", b"").decode(), fields.get(b"id", b"").decode()
            yield Frame(name, fields[b"data"], id)


class Transcript:
    """What was heard so far, over however many connections."""

    def __init__(self, watch: Watch, who: str) -> None:
        self._watch = watch
        self._who = who
        self.run_id = ""
        self.last_id: str | None = None
        """Where to go on."""
        self.seq = 0
        self.is_over = False
        """Whether the run's end was heard."""
        self._last_name = ""
        self._added: dict[str, list[Any]] = {}
        """The parts that deltas came to, by their item."""

    def take(self, frame: Frame) -> None:
        """Hear one event, and hold it to what was committed."""
        if frame.name == "done":
            is_at_rest = self._last_name in TERMINAL or self._last_name in WAITS
            self._hold("a stream is done where its run rests", is_at_rest, self._last_name)
            return
        if frame.name == "error":
            is_gone = not self.run_id or self._watch.is_gone(self.run_id)
            self._hold("a stream fails only with its run", is_gone, frame)
            return
        self.last_id = frame.id
        run_id, _, place = frame.id.partition(":")
        self.run_id = self.run_id or run_id
        self._hold("a stream is of one run", run_id == self.run_id, frame)
        seq = int(place.split(".")[1])
        if frame.name.endswith(".delta"):
            self._hold("deltas follow what they belong to", seq == self.seq, frame)
            self._add(frame)
            return
        is_next = self.seq in (0, seq - 1)
        self._hold("a listener hears every event once and in order", is_next, (self.seq, frame))
        self.seq = seq
        committed = self._watch.told(run_id, seq)
        self._hold("what is told is on disk", committed is not None, frame)
        if committed is not None:
            later = self._watch.forgotten.get(run_id, {}).get(seq, committed)
            texts = [(each.event, bytes(each.data)) for each in (committed, later)]
            same = (frame.name, frame.data) in texts
            self._hold("what is told is what is on disk", same, (frame, committed))
        self._note(frame.name, msgspec.json.decode(frame.data))
        self._last_name = frame.name
        self.is_over = frame.name in TERMINAL

    def _hold(self, promise: str, is_kept: bool, detail: object) -> None:
        if not is_kept:
            self._watch.violated(promise, f"{self._who}: {detail}")

    def _add(self, frame: Frame) -> None:
        data = msgspec.json.decode(frame.data)
        parts = self._added.get(data["id"])
        is_known = parts is not None or self._watch.is_gone(self.run_id)
        self._hold("an item is created before it grows", is_known, frame)
        if parts is None:
            return
        delta = data["delta"]
        calls = (delta.get("step_details") or {}).get("tool_calls")
        for part in delta.get("content") or calls or ():
            is_next = part["index"] <= len(parts)
            self._hold("parts begin one after the other", is_next, frame)
            if is_next:
                add_entry(parts, part)

    def _note(self, name: str, data: Any) -> None:
        if self._watch.is_gone(self.run_id):
            # Read in the midst of its deletion: some of it may be gone, and some not.
            self._added.clear()
        if name in ("thread.message.created", "thread.run.step.created"):
            self._added[data["id"]] = []
        elif name in _ITEM_ENDS and self.seq in self._watch.forgotten.get(self.run_id, {}):
            # Of one that was deleted meanwhile, whose text is told no more.
            self._added.pop(data["id"], None)
        elif name in _ITEM_ENDS and data["id"] in self._added:
            added = _as_stored(self._added[data["id"]])
            promise = "what a listener adds up is what is stored"
            self._hold(promise, added == _content(data), (name, data["id"], added, _content(data)))
        elif name == "thread.run.requires_action":
            self._asked(data)

    def _asked(self, run: Any) -> None:
        heard = [
            (part["id"], part["function"]["name"], part["function"]["arguments"])
            for parts in self._added.values()
            for part in parts
            if part.get("type") == "function"
        ]
        for call in run["required_action"]["submit_tool_outputs"]["tool_calls"]:
            asked = (call["id"], call["function"]["name"], call["function"]["arguments"])
            # A listener that came for the rest only has not heard the calls being made, and one
            # of a run that is gone perhaps not all of them.
            if self._added:
                self._hold("a listener has heard what it is asked", asked in heard, (asked, heard))


def _as_stored(added: Any) -> Any:
    """What deltas came to, less the numbers by which they were added up."""
    if isinstance(added, list):
        return [_as_stored(part) for part in added]
    if isinstance(added, dict):
        return {key: _as_stored(value) for key, value in added.items() if key != "index"}
    return added


def _content(item: Any) -> list[Any]:
    """An item's parts as deltas would have told them."""
    if item["object"] == "thread.message":
        return list(item["content"])
    details = item["step_details"]
    if details["type"] != "tool_calls":
        return []
    return [_told_of(call) for call in details["tool_calls"]]


def _told_of(call: Any) -> Any:
    """What is never told in deltas: a function's output, and what a search found."""
    if call["type"] == "function":
        return {**call, "function": {**call["function"], "output": None}}
    return {**call, "file_search": {}} if call["type"] == "file_search" else call
