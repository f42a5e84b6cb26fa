"""What a client hears of a run: frames, and whether they add up."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import msgspec

AT_REST = frozenset(
    f"thread.run.{status}"
    for status in (
        "requires_action",
        "completed",
        "incomplete",
        "failed",
        "cancelled",
        "expired",
    )
)


Fault = Literal["doubled", "lost"]


class Frame(NamedTuple):
    """One server-sent event."""

    name: str
    id: str
    data: bytes


async def frames(lines: AsyncIterator[bytes]) -> AsyncIterator[Frame]:
    """The whole frames of a stream; one that was cut off is none."""
    fields: dict[bytes, bytes] = {}
    async for line in lines:
        line = line.rstrip(b"\r\n")
        if line:
            label, _, value = line.partition(b":")
            fields[label] = value.removeprefix(b" ")
        elif b"data" in fields:
            name, id = fields.get(b"event", b"").decode(), fields.get(b"id", b"").decode()
            yield Frame(name, id, fields[b"data"])
            fields = {}


@dataclass
class Tale:
    """All that one client heard of one run, over as many connections as it took."""

    is_whole: bool
    """Whether it began with the run's first event."""
    run_id: str = ""
    last_id: str = ""
    seq: int = 0
    events: list[tuple[int, str, bytes]] = field(default_factory=list)
    """Every event but deltas."""
    deltas: int = 0
    texts: dict[str, str] = field(default_factory=dict)
    arguments: dict[str, dict[int, str]] = field(default_factory=dict)
    has_all_of: set[str] = field(default_factory=set)
    """Messages and steps that were heard from their beginning."""
    is_at_rest: bool = False
    is_done: bool = False
    faults: list[tuple[Fault, str]] = field(default_factory=list)

    def hear(self, frame: Frame) -> None:
        """One more frame."""
        if frame.name == "done":
            self.is_done = True
            if not self.is_at_rest:
                self.faults.append(("doubled", f"{self.run_id}: done although the run goes on"))
            return
        if frame.name == "error":
            # The run is gone, or the store: what is there is asked of the server itself.
            return
        run_id, _, place = frame.id.partition(":")
        self.run_id = self.run_id or run_id
        self.last_id = frame.id
        seq = int(place.split(".")[1])
        data = msgspec.json.decode(frame.data)
        if frame.name.endswith(".delta"):
            self.deltas += 1
            self._add(data)
            return
        self._count(seq, frame)
        self.events.append((seq, frame.name, frame.data))
        self._settle(frame.name, data)

    def _count(self, seq: int, frame: Frame) -> None:
        due = self.seq + 1 if self.seq or self.is_whole else seq
        if seq != due:
            text = f"{self.run_id}: event {seq} ({frame.name}) came where {due} was due"
            self.faults.append(("doubled" if seq < due else "lost", text))
        self.seq = seq

    def _add(self, data: Any) -> None:
        if data["object"] == "thread.message.delta":
            for block in data["delta"]["content"]:
                if "text" in block:
                    text = self.texts.get(data["id"], "")
                    self.texts[data["id"]] = text + block["text"]["value"]
            return
        calls = self.arguments.setdefault(data["id"], {})
        for call in data["delta"]["step_details"]["tool_calls"]:
            more = call["function"].get("arguments") or ""
            calls[call["index"]] = calls.get(call["index"], "") + more

    def _settle(self, name: str, data: Any) -> None:
        """Begin an item anew, or compare what was heard of it with what it is."""
        if name.startswith("thread.run.step."):
            if name.endswith(".created"):
                self.arguments[data["id"]] = {}
                self.has_all_of.add(data["id"])
            elif name.endswith(".completed") and data["type"] == "tool_calls":
                self._compare_calls(data)
        elif name.startswith("thread.run."):
            self.is_at_rest = name in AT_REST
            self.is_done = False
        elif name == "thread.message.created":
            self.texts[data["id"]] = ""
            self.has_all_of.add(data["id"])
        elif name in ("thread.message.completed", "thread.message.incomplete"):
            self._compare(data["id"], text_of(data), self.texts.get(data["id"], ""))

    def _compare_calls(self, step: Any) -> None:
        heard = self.arguments.get(step["id"], {})
        for index, call in enumerate(step["step_details"]["tool_calls"]):
            self._compare(step["id"], call["function"]["arguments"], heard.get(index, ""))

    def _compare(self, id: str, is_so: str, heard: str) -> None:
        if id in self.has_all_of and is_so != heard:
            kind: Fault = "doubled" if len(heard) > len(is_so) else "lost"
            self.faults.append((kind, f"{id}: heard {heard!r}, and it is {is_so!r}"))


def text_of(message: Any) -> str:
    """The text of a message as it is sent."""
    parts = [part["text"]["value"] for part in message["content"] if part["type"] == "text"]
    return "".join(parts)
