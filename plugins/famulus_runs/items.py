"""The items of a run that are open, and what is stored of them: followed along its log."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import msgspec

from famulus_runs.cuts import Delta, cut, delta_of, head
from famulus_runs.log import Entry
from famulus_schemas.messages import Message
from famulus_schemas.records import Records
from famulus_schemas.steps import RunStep, ToolCallsStepDetails

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
        self.is_in_parts = kind == "message"
        """Whether what it grows by is stored again and again."""

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
        growing = self._growing
        return growing is not None and growing.is_in_parts and self._is_there

    def must_be_read(self, entries: Sequence[Entry], had: int) -> bool:
        """Whether `rest_before` has to read what is stored."""
        growing, first = self._growing, entries[0]
        if growing is None or (first.told <= had and first.event != _ASKS):
            return False
        return not any(_is_end_of(growing, entry) for entry in entries)

    async def rest_before(self, entries: Sequence[Entry], had: int) -> Delta | None:
        """What the open item grew by between the event before these and the first of them.

        The reader has it up to the offset `had`.
        """
        growing, first = self._growing, entries[0]
        if growing is None:
            return None
        if _is_end_of(growing, first):
            return growing.rest(_ended(first))
        if first.event == _ASKS:
            return await self.stored()
        if first.told <= had:
            return None
        ends = [_ended(entry) for entry in entries if _is_end_of(growing, entry)]
        rest = growing.rest(ends[0]) if ends else await self.stored()
        return head(rest, first.told) if rest is not None else None

    async def stored(self) -> Delta | None:
        """What the open item grew by since the last event, as far as it is stored."""
        growing = self._growing
        if growing is None:
            return None
        record = await self._records.get(growing.kind, growing.id)
        self._is_there = record is not None
        if record is None:
            return None
        item = _message(record.body) if self._message else _step(record.body)
        # The calls of a step are stored once all are written; then what they give is.
        growing.is_in_parts = growing.is_in_parts or _has_calls(item)
        return growing.rest(item)

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
        if self._message is not None and _is_end_of(self._message, entry):
            self._message = None
        if self._step is not None and _is_end_of(self._step, entry):
            self._step = None


def _has_calls(item: Message | RunStep) -> bool:
    details = item.step_details if isinstance(item, RunStep) else None
    return isinstance(details, ToolCallsStepDetails) and bool(details.tool_calls)


def _is_end_of(item: _Open, entry: Entry) -> bool:
    ends = _MESSAGE_ENDS if item.kind == "message" else _STEP_ENDS
    return entry.event in ends and _ended(entry).id == item.id


def _ended(entry: Entry) -> Message | RunStep:
    return _message(entry.data) if entry.event in _MESSAGE_ENDS else _step(entry.data)
