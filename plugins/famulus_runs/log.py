"""What a run told: its events as emissions with positions, and the records that keep them."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence

import msgspec

from famulus_runs.call_cuts import size
from famulus_runs.kinds import encode
from famulus_runs.positions import Position
from famulus_schemas.deltas import (
    MessageDeltaEvent,
    RefusalDeltaBlock,
    RunStepDeltaEvent,
    TextDelta,
    TextDeltaBlock,
    ToolCallsStepDelta,
)
from famulus_schemas.events import AssistantStreamEvent, name_of
from famulus_schemas.ports import Emission
from famulus_schemas.records import Insert, Records, UnknownCursor

PAGE = 100


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One event as the log keeps it."""

    event: str
    position: str
    data: msgspec.Raw
    told: int = 0
    """The offset to which deltas were told between the event before it and this one."""


_DELTAS = (MessageDeltaEvent, RunStepDeltaEvent)

_decode = msgspec.json.Decoder(list[Entry]).decode


class Teller:
    """Numbers a run's events.

    Where it goes on for another worker, it is not known how far that one told an open item: so
    the first event is not said to follow on anything.
    """

    def __init__(self, run_id: str, *, attempt: int, at: Position, is_resumed: bool) -> None:
        self.run_id = run_id
        self._attempt = attempt
        self._at = at
        self._place = "" if is_resumed else at.text(run_id, attempt)

    @property
    def at(self) -> Position:
        """How far was told."""
        return self._at

    @property
    def here(self) -> tuple[Position, str]:
        """Where to go back to."""
        return self._at, self._place

    def go_back(self, here: tuple[Position, str]) -> None:
        """What was told after that was not told after all."""
        self._at, self._place = here

    def tell(self, event: AssistantStreamEvent) -> Emission:
        """The event as it is sent, at the next position."""
        if isinstance(event.data, _DELTAS):
            self._at = Position(self._at.seq, self._at.offset + added(event.data))
        else:
            self._at = Position(self._at.seq + 1, 0)
        before, self._place = self._place, self._at.text(self.run_id, self._attempt)
        return Emission(
            name=name_of(event), data=encode(event.data), position=self._place, after=before
        )


def is_delta(name: str) -> bool:
    """Whether an event of this name is a delta."""
    return name.endswith(".delta")


def added(delta: MessageDeltaEvent | RunStepDeltaEvent) -> int:
    """How far a delta moves the offset: its characters, and one for what it opens.

    Annotations count nothing: they are told with the text at whose end they stand.
    """
    if isinstance(delta, MessageDeltaEvent):
        # A loop and not a sum over a generator, which costs twice as much for one block.
        count = 0
        for block in delta.delta.content or ():
            count += _count(block)
        return count
    details = delta.delta.step_details
    calls = details.tool_calls if isinstance(details, ToolCallsStepDelta) else ()
    return sum(map(size, calls or ()))


def _count(block: object) -> int:
    if isinstance(block, TextDeltaBlock) and isinstance(block.text, TextDelta):
        return len(block.text.value or "")
    if isinstance(block, RefusalDeltaBlock):
        return len(block.refusal or "")
    return 1


def log_writes(
    run_id: str, thread_id: str, emissions: Sequence[Emission], *, at: Position
) -> list[Insert]:
    """The write that keeps a commit's events; none where they are all deltas."""
    lasting = [one for one in emissions if not is_delta(one.name)]
    if not lasting:
        return []
    entries = (
        b'{"event":"%b","position":"%b","told":%b,"data":%b}'
        % (one.name.encode(), one.position.encode(), _offset(one.after), one.data)
        for one in lasting
    )
    return [
        Insert(
            kind="run_event",
            id=f"{run_id}.{at.seq}",
            parent=thread_id,
            created_at=0,
            body=b"[" + b",".join(entries) + b"]",
            index={"run": run_id},
        )
    ]


def _offset(place: str) -> bytes:
    return place.rpartition(".")[2].encode() or b"0"


async def last_position(records: Records, thread_id: str, run_id: str) -> Position:
    """Where a run's log ends."""
    page = await records.page("run_event", thread_id, where={"run": run_id}, limit=1)
    if not page.records:
        return Position()
    return Position(int(page.records[0].id.rpartition(".")[2]))


async def read_log(
    records: Records, thread_id: str, run_id: str
) -> AsyncGenerator[Sequence[Entry], None]:
    """A run's events from the first, as far as they are kept now, those of a commit together."""
    after: str | None = None
    while True:
        try:
            page = await records.page(
                "run_event", thread_id, where={"run": run_id}, order="asc", after=after, limit=PAGE
            )
        except UnknownCursor:
            return
        for record in page.records:
            after = record.id
            yield _decode(record.body)
        if not page.has_more:
            return
