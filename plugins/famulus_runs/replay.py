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
from famulus_runs.cuts import Delta, cut, told_apart
from famulus_runs.frames import frames_of
from famulus_runs.items import Items
from famulus_runs.journal import DONE
from famulus_runs.listening import Listening
from famulus_runs.log import Entry, added, is_delta, read_log
from famulus_runs.positions import START, Position, parse
from famulus_schemas.deltas import MessageDeltaEvent, RunStepDeltaEvent
from famulus_schemas.events import AssistantStreamEvent, error_event, name_of
from famulus_schemas.ports import Emission, EventsStopped, ListenerDropped
from famulus_schemas.records import Records, StoreUnavailable

GAP_WAIT_S = 0.05
GAP_S = 5.0
"""For so long a stream waits for text that it missed to be stored, which it is every moment."""
LOOK_WAIT_S = 0.5
LOOKS_MAX = 60
"""For so long a stream waits for a store that does not answer, before it ends."""

_AT_REST = frozenset(
    f"thread.run.{status}"
    for status in ("requires_action", "completed", "incomplete", "failed", "cancelled", "expired")
)
_AT_WORK = frozenset(
    f"thread.run.{status}" for status in ("created", "queued", "in_progress", "cancelling")
)

_DONE_FRAME = frames_of([DONE])
_encode = msgspec.json.encode

DELETED = "The run was deleted, with its thread, while it was streamed."
UNREADABLE = (
    "The stream cannot go on: the server's store does not answer. Read on with Last-Event-ID, "
    "or retrieve the run."
)


def _error_frame(message: str, type: str) -> bytes:
    """Why a stream ends before its run; it has no position, so that the last one still counts."""
    event = error_event(message=message, type=type)
    return encode_event(_encode(event.data), name=name_of(event))


_DELETED_FRAME = _error_frame(DELETED, "invalid_request_error")
_UNREADABLE_FRAME = _error_frame(UNREADABLE, "server_error")


class Telling(Protocol):
    """A run that is being told in this process; see Journal."""

    @property
    def told(self) -> tuple[int, Sequence[AssistantStreamEvent]]: ...


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
        self._items = Items(records)
        self._had: dict[int, int] = {}
        """How far the reader had deltas, where not as the log has it, by the event before them."""
        self._passed_over = 0
        """The event after which deltas are left out, to be told at their item's end."""
        self._is_at_rest = False
        self._is_over = False
        self._fault = b""
        """The last frame of a stream that ends before its run, where clients can be told why."""

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
        elif self._fault:
            yield self._fault

    def _pass(self, emissions: Sequence[Emission]) -> bytes:
        """Frames of events that follow on each other and on what the reader has."""
        self._place = emissions[-1].position
        for emission in emissions:
            self._note(emission.name)
        return frames_of(emissions)

    def _note(self, name: str) -> None:
        """Keep in mind what an event, which is no delta, says of the run."""
        if name in _AT_REST:
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
        self._is_over, self._fault = True, _UNREADABLE_FRAME

    async def _stored(self) -> AsyncGenerator[bytes, None]:
        # Taken first: what is told after it is heard, and what was told before it is in the log.
        live = self._live()
        seq, told = live.told if live is not None else (0, ())
        told = list(told)
        self._items = Items(self._records)
        async with aclosing(read_log(self._records, self._thread_id, self._run_id)) as log:
            async for entries in log:
                async for frames in self._of_commit(entries):
                    yield frames
        # Asked anew: it may have ended here and been deleted while its log was read.
        is_here = self._live() is not None
        self._is_over = self._is_at_rest
        if not self._is_over and not is_here and await self._is_deleted():
            self._is_over, self._fault = True, _DELETED_FRAME
        if self._is_over:
            return
        if live is None and (frames := self._grown(await self._items.stored())):
            yield frames
        end = 0
        for event in told if self._at.seq == seq else ():
            assert isinstance(event.data, (MessageDeltaEvent, RunStepDeltaEvent))
            end += added(event.data)
            if frames := self._delta(event.data, end=end):
                yield frames

    async def _is_deleted(self) -> bool:
        return await self._records.get("run", self._run_id) is None

    async def _of_commit(self, entries: Sequence[Entry]) -> AsyncGenerator[bytes, None]:
        """What was told with one commit."""
        frames = b""
        for number, entry in enumerate(entries):
            parsed = parse(entry.position)
            assert parsed is not None
            at = self._at
            if parsed[1].seq > at.seq:
                since = entries[number:]
                if frames and self._items.must_be_read(since, at.offset):
                    # Nothing may be lost if reading fails.
                    yield frames
                    frames = b""
                frames += self._grown(await self._items.rest_before(since, at.offset))
                if (had := self._at.offset) != entry.told:
                    self._had[at.seq] = had
                frames += encode_event(bytes(entry.data), name=entry.event, position=entry.position)
                self._place = entry.position
            self._items.follow(entry, had=self._had.get(parsed[1].seq - 1, entry.told))
            self._note(entry.event)
        if frames:
            yield frames

    def _grown(self, delta: Delta | None) -> bytes:
        """What the reader has not got of all that came after the last event."""
        return self._delta(delta, end=added(delta)) if delta is not None else b""

    def _delta(self, delta: Delta, *, end: int) -> bytes:
        """What of a delta, which brings its item to `end`, the reader has not got."""
        at = self._at
        start = end - added(delta)
        assert start <= at.offset
        frames = b""
        offset = at.offset
        for part in (part for rest in cut(delta, offset - start) for part in told_apart(rest)):
            # Of its own for each: a reader may lose the next, and come back.
            offset += added(part)
            self._place = Position(at.seq, offset).text(self._run_id, 1)
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
                    self._note(emission.name)
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
        if is_delta(emission.name) and self._passed_over == place.seq:
            return
        async with aclosing(self._stored()) as stored:
            async for frames in stored:
                yield frames
        if self._is_over or not is_delta(emission.name) or place.seq != self._at.seq:
            return
        delta = _decoded_delta(emission)
        start = place.offset - added(delta)
        async with aclosing(self._gap(start)) as gap:
            async for frames in gap:
                yield frames
        if self._at.offset < start:
            self._passed_over = place.seq
        elif self._at.offset < place.offset:
            frames = self._delta(delta, end=place.offset)
            self._place = emission.position
            yield frames

    async def _gap(self, start: int) -> AsyncGenerator[bytes, None]:
        """The open message's text up to there, which others told before we listened.

        It is stored again and again while it is written.
        """
        clock = asyncio.get_running_loop().time
        # By the clock, however slow the store: whoever wrote it may be lost, and all that others
        # told since then waits for this.
        until = clock() + GAP_S
        while clock() < until:
            if self._at.offset >= start or not self._items.is_stored_in_parts:
                return
            if frames := self._grown(await self._items.stored()):
                yield frames
            else:
                await asyncio.sleep(GAP_WAIT_S)


def _decoded_delta(emission: Emission) -> Delta:
    if emission.name == "thread.message.delta":
        return msgspec.json.decode(emission.data, type=MessageDeltaEvent)
    return msgspec.json.decode(emission.data, type=RunStepDeltaEvent)
