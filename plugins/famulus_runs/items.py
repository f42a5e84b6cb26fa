"""The items of a run that are open, and what is stored of them: followed along its log."""

from __future__ import annotations

import sys

import msgspec

from famulus_runs.cuts import Delta, cut, delta_of
from famulus_runs.log import Entry
from famulus_schemas.messages import Message
from famulus_schemas.records import Records
from famulus_schemas.steps import RunStep

ALL = sys.maxsize

_message = msgspec.json.Decoder(Message).decode
_step = msgspec.json.Decoder(RunStep).decode

_MESSAGE_ENDS = frozenset({"thread.message.completed", "thread.message.incomplete"})
_STEP_ENDS = frozenset(
    f"thread.run.step.{end}" for end in ("completed", "failed", "cancelled", "expired")
)
_ASKS = "thread.run.requires_action"
_FOLLOWED = frozenset(
    {"thread.message.created", "thread.run.step.created", _ASKS} | _MESSAGE_ENDS | _STEP_ENDS
)


class _Open:
    """An item that is being told in deltas."""

    def __init__(self, kind: str, id: str) -> None:
        self.kind = kind
        self.id = id
        self.had = 0
        """How much of it the reader had by the last event that was no delta."""

    def rest(self, item: Message | RunStep) -> Delta | None:
        """What the item, as it is, has more than that."""
        whole = delta_of(item)
        parts = cut(whole, self.had) if whole is not None else ()
        return parts[0] if parts else None


class Items:
    """What of a run may be told in deltas now, at the place in its log to which it was read."""

    def __init__(self, records: Records) -> None:
        self._records = records
        self._message: _Open | None = None
        self._step: _Open | None = None
        self._is_there = True

    @property
    def _growing(self) -> _Open | None:
        # A round of calls may stay open while a message is written.
        return self._message or self._step

    @property
    def is_stored_in_parts(self) -> bool:
        """Whether what grows is stored again and again while it does."""
        return self._message is not None and self._is_there

    def is_asked_for(self, entry: Entry) -> bool:
        """Whether the calls that grew are asked for by this event, and must be read."""
        return entry.event == _ASKS and self._growing is not None

    async def rest_before(self, entry: Entry) -> Delta | None:
        """What the open item grew by since the last event, where this one comes after all of it."""
        growing = self._growing
        if growing is None:
            return None
        if entry.event == _ASKS:
            return await self.stored()
        ended = _ended(entry)
        return growing.rest(ended) if ended is not None and ended.id == growing.id else None

    async def stored(self) -> Delta | None:
        """What the open item grew by since the last event, as far as it is stored."""
        growing = self._growing
        if growing is None:
            return None
        record = await self._records.get(growing.kind, growing.id)
        self._is_there = record is not None
        if record is None:
            return None
        return growing.rest(_message(record.body) if self._message else _step(record.body))

    def follow(self, entry: Entry, *, had: int) -> None:
        """Go past an event, before which the reader had deltas up to that offset."""
        growing = self._growing
        if growing is not None and growing.had != ALL:
            growing.had += had
        if entry.event not in _FOLLOWED:
            return
        if entry.event == "thread.message.created":
            self._message, self._is_there = _Open("message", _message(entry.data).id), True
        elif entry.event == "thread.run.step.created":
            step = _step(entry.data)
            if step.type == "tool_calls":
                self._step = _Open("step", step.id)
        elif entry.event == _ASKS:
            if growing is not None:
                growing.had = ALL
        else:
            self._close(entry)

    def _close(self, entry: Entry) -> None:
        ended = _ended(entry)
        assert ended is not None
        if self._message is not None and self._message.id == ended.id:
            self._message = None
        if self._step is not None and self._step.id == ended.id:
            self._step = None


def _ended(entry: Entry) -> Message | RunStep | None:
    if entry.event in _MESSAGE_ENDS:
        return _message(entry.data)
    return _step(entry.data) if entry.event in _STEP_ENDS else None
