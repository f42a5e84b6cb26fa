"""A run's stream from any place on: what was told, then what is being told, here or elsewhere.

What is told live follows on what the reader has, or it does not: then what is missing is read
from the run's log, and the text of an item that is still open from where it is stored. So the
stream is equal to what was told in what it adds up to, not in how deltas were cut.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from typing import Protocol

import msgspec

from famulus import encode_event
from famulus_runs.cuts import Delta, cut, delta_of
from famulus_runs.frames import frames_of
from famulus_runs.journal import DONE
from famulus_runs.listening import Listening
from famulus_runs.log import Entry, added, is_delta, read_log
from famulus_runs.positions import START, Position, parse
from famulus_schemas.deltas import MessageDeltaEvent, RunStepDeltaEvent
from famulus_schemas.events import AssistantStreamEvent
from famulus_schemas.messages import Message
from famulus_schemas.ports import Emission, EventsStopped, ListenerDropped
from famulus_schemas.records import Records, StoreUnavailable
from famulus_schemas.steps import RunStep

GAP_WAIT_S = 0.05
GAP_WAITS_MAX = 100
LOOK_WAIT_S = 0.5
LOOKS_MAX = 60
"""For so long a stream waits for a store that does not answer, before it ends."""

_message = msgspec.json.Decoder(Message).decode
_step = msgspec.json.Decoder(RunStep).decode
_encode = msgspec.json.encode

_CREATES_MESSAGE = "thread.message.created"
_CREATES_STEP = "thread.run.step.created"
_OPENS = frozenset(
    {
        _CREATES_MESSAGE,
        _CREATES_STEP,
        "thread.message.in_progress",
        "thread.run.step.in_progress",
    }
)
"""After one of these, and before the next event, an item's deltas are told."""
_MESSAGE_ENDS = frozenset({"thread.message.completed", "thread.message.incomplete"})
_STEP_ENDS = frozenset(
    f"thread.run.step.{end}" for end in ("completed", "failed", "cancelled", "expired")
)
_AT_REST = frozenset(
    f"thread.run.{status}"
    for status in ("requires_action", "completed", "incomplete", "failed", "cancelled", "expired")
)
_AT_WORK = frozenset(
    f"thread.run.{status}" for status in ("created", "queued", "in_progress", "cancelling")
)

_DONE_FRAME = frames_of([DONE])


class Telling(Protocol):
    """A run that is being told in this process; see Journal."""

    @property
    def at(self) -> Position: ...

    @property
    def told(self) -> Sequence[AssistantStreamEvent]: ...


class Replay:
    """One reader's way through one run's stream."""

    def __init__(
        self,
        records: Records,
        listening: Listening,
        *,
        live: Callable[[], Telling | None],
        thread_id: str,
        run_id: str,
        after: Position = START,
    ) -> None:
        self._records = records
        self._listening = listening
        self._live = live
        self._thread_id = thread_id
        self._run_id = run_id
        self._place = after.text(run_id, 1)
        """Where the reader is, as the last event's position has it."""
        self._is_in_item = False
        """Whether deltas may follow, of the item that was created last."""
        self._item: tuple[str, bytes | msgspec.Raw] = ("", b"")
        """The event that created it."""
        self._is_item_kept = True
        """Whether what others told of it can be hoped for."""
        self._is_at_rest = False
        self._is_over = False

    @property
    def _at(self) -> Position:
        parsed = parse(self._place)
        assert parsed is not None
        return parsed[1]

    async def frames(self, first: Sequence[Emission] = ()) -> AsyncGenerator[bytes, None]:
        """Encoded frames to the end of the stream.

        `first` is sent before anything else, and is all that was told so far; without it, that
        is read. Listening must have begun before either.
        """
        if first:
            yield self._pass(first)
        is_to_look = not first
        while True:
            if is_to_look:
                async with aclosing(self._patiently()) as stored:
                    async for frames in stored:
                        yield frames
            if self._is_over:
                break
            async with aclosing(self._heard()) as heard:
                async for frames in heard:
                    yield frames
            if self._is_over:
                break
            if not await self._listening.renew():
                return
            is_to_look = True
        if self._is_at_rest:
            yield _DONE_FRAME

    def _pass(self, emissions: Sequence[Emission]) -> bytes:
        """Frames of events that follow on each other and on what the reader has."""
        self._place = emissions[-1].position
        for emission in emissions:
            self._note(emission.name, emission.data)
        return frames_of(emissions)

    def _note(self, name: str, data: bytes | msgspec.Raw) -> None:
        """Keep in mind what this event, which is no delta, says of the item and the run."""
        self._is_in_item = name in _OPENS
        if name in (_CREATES_MESSAGE, _CREATES_STEP):
            self._item, self._is_item_kept = (name, data), True
        elif name in _AT_REST:
            self._is_at_rest = True
        elif name in _AT_WORK:
            self._is_at_rest = False

    # --- what is stored -----------------------------------------------------------------------

    async def _patiently(self) -> AsyncGenerator[bytes, None]:
        """What is stored and the reader has not got, as soon as the store answers."""
        for _ in range(LOOKS_MAX):
            try:
                async with aclosing(self._stored()) as stored:
                    async for frames in stored:
                        yield frames
            except StoreUnavailable:
                await asyncio.sleep(LOOK_WAIT_S)
            else:
                return
        self._is_over = True

    async def _stored(self) -> AsyncGenerator[bytes, None]:
        # Taken first: what is told after it is heard, and what was told before it is in the log.
        live = self._live()
        seq, told = (live.at.seq, list(live.told)) if live is not None else (0, [])
        is_kept = False
        async with aclosing(read_log(self._records, self._thread_id, self._run_id)) as log:
            async for entries in log:
                is_kept = True
                async for frames in self._of_commit(entries):
                    yield frames
        # A run that was deleted has no log; one that is at rest is told to its end.
        self._is_over = self._is_at_rest or not is_kept
        if self._is_over:
            return
        if live is None and (frames := await self._stored_item()):
            yield frames
        end = 0
        for event in told if self._at.seq == seq else ():
            assert isinstance(event.data, (MessageDeltaEvent, RunStepDeltaEvent))
            end += added(event.data)
            if frames := self._delta(event.data, end=end):
                yield frames

    async def _of_commit(self, entries: Sequence[Entry]) -> AsyncGenerator[bytes, None]:
        """What was told with one commit."""
        frames = b""
        for number, entry in enumerate(entries):
            parsed = parse(entry.position)
            assert parsed is not None
            if parsed[1].seq > self._at.seq:
                if self._is_in_item and entry.event not in _OPENS:
                    delta = self._whole_item(entries[number:])
                    if delta is None:
                        # It is not at its end: its calls wait for their outputs.
                        if frames:
                            yield frames
                        frames = await self._stored_item()
                    else:
                        frames += self._delta(delta, end=added(delta))
                frames += encode_event(bytes(entry.data), name=entry.event, position=entry.position)
                self._place = entry.position
            self._note(entry.event, entry.data)
        if frames:
            yield frames

    def _whole_item(self, entries: Sequence[Entry]) -> Delta | None:
        """The open item's whole content, where it comes to its end in these entries."""
        name, _ = self._item
        ends = _MESSAGE_ENDS if name == _CREATES_MESSAGE else _STEP_ENDS
        for entry in entries:
            if entry.event in ends and (item := _decoded(name, entry.data)).id == self._item_id:
                return delta_of(item)
        return None

    @property
    def _item_id(self) -> str:
        return _decoded(*self._item).id

    async def _stored_item(self) -> bytes:
        """What the reader lacks of the item that is open, as far as it is stored."""
        name, _ = self._item
        if not self._is_in_item:
            return b""
        kind = "message" if name == _CREATES_MESSAGE else "step"
        record = await self._records.get(kind, self._item_id)
        self._is_item_kept = record is not None
        delta = delta_of(_decoded(name, record.body)) if record is not None else None
        if delta is None or added(delta) <= self._at.offset:
            return b""
        return self._delta(delta, end=added(delta))

    def _delta(self, delta: Delta, *, end: int) -> bytes:
        """What of a delta, which brings its item to `end`, the reader has not got."""
        at = self._at
        start = end - added(delta)
        assert start <= at.offset
        frames = b""
        for part in cut(delta, at.offset - start):
            self._place = Position(at.seq, end).text(self._run_id, 1)
            is_of_message = isinstance(part, MessageDeltaEvent)
            name = "thread.message.delta" if is_of_message else "thread.run.step.delta"
            frames += encode_event(_encode(part), name=name, position=self._place)
        return frames

    # --- what is being told -------------------------------------------------------------------

    async def _heard(self) -> AsyncGenerator[bytes, None]:
        """What is heard, until the stream is over or must be read again from what is stored."""
        try:
            async for batch in self._listening.listener:
                frames, others = self._following(batch)
                if frames:
                    yield frames
                while others and not self._is_over:
                    async with aclosing(self._of_other(others[0])) as missed:
                        async for frames in missed:
                            yield frames
                    frames, others = self._following(others[1:])
                    if frames:
                        yield frames
                if self._is_over:
                    return
        except EventsStopped:
            self._is_over, self._is_at_rest = True, False
        except (ListenerDropped, StoreUnavailable):
            return
        # Whoever ended the topic may have done so before the run went on elsewhere.
        self._is_over = self._is_over or self._is_at_rest

    def _following(self, batch: Sequence[Emission]) -> tuple[bytes, Sequence[Emission]]:
        """Frames of those that follow on what the reader has, and the first that does not on."""
        frames: list[bytes] = []
        for number, emission in enumerate(batch):
            if emission.after == self._place:
                self._place = emission.position
                if not is_delta(emission.name):
                    self._note(emission.name, emission.data)
                frames.append(
                    encode_event(emission.data, name=emission.name, position=emission.position)
                )
            elif emission.position:
                return b"".join(frames), batch[number:]
            elif emission.name == DONE.name and self._is_at_rest:
                self._is_over = True
                break
        return b"".join(frames), ()

    async def _of_other(self, emission: Emission) -> AsyncGenerator[bytes, None]:
        """What an event brings that the reader has already, or before which it lacks something."""
        parsed = parse(emission.position)
        if parsed is None or parsed[1] <= self._at:
            return
        place = parsed[1]
        if place.seq > self._at.seq:
            async with aclosing(self._stored()) as stored:
                async for frames in stored:
                    yield frames
        if self._is_over or not is_delta(emission.name) or place.seq != self._at.seq:
            return
        delta = _decoded_delta(emission)
        start = place.offset - added(delta)
        if self._at.offset < start and isinstance(delta, MessageDeltaEvent):
            async with aclosing(self._gap(start)) as gap:
                async for frames in gap:
                    yield frames
        if start <= self._at.offset < place.offset:
            frames = self._delta(delta, end=place.offset)
            self._place = emission.position
            yield frames

    async def _gap(self, start: int) -> AsyncGenerator[bytes, None]:
        """The open message's text up to there, which others told before we listened.

        It is stored again and again while it is written. What cannot be had is told at its end.
        """
        for _ in range(GAP_WAITS_MAX if self._is_item_kept else 0):
            if frames := await self._stored_item():
                yield frames
            if self._at.offset >= start or not self._is_item_kept:
                return
            await asyncio.sleep(GAP_WAIT_S)
        self._is_item_kept = False


def _decoded(name: str, data: bytes | msgspec.Raw) -> Message | RunStep:
    return _message(data) if name == _CREATES_MESSAGE else _step(data)


def _decoded_delta(emission: Emission) -> Delta:
    if emission.name == "thread.message.delta":
        return msgspec.json.decode(emission.data, type=MessageDeltaEvent)
    return msgspec.json.decode(emission.data, type=RunStepDeltaEvent)
