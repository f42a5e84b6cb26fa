"""A run's stream from any place on: what was told, then what is being told.

Equal to the live stream in what it adds up to, not in how deltas were cut: the text of an item
that was told in many deltas comes as one.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Protocol

import msgspec

from famulus import encode_event
from famulus_runs.frames import frames_of
from famulus_runs.log import Entry, added, is_delta, read_log
from famulus_runs.positions import Position, parse
from famulus_schemas.deltas import (
    FunctionCallDelta,
    FunctionToolCallDelta,
    MessageContentDelta,
    MessageDelta,
    MessageDeltaEvent,
    RefusalDeltaBlock,
    RunStepDelta,
    RunStepDeltaEvent,
    TextDelta,
    TextDeltaBlock,
    ToolCallDelta,
    ToolCallsStepDelta,
)
from famulus_schemas.events import AssistantStreamEvent
from famulus_schemas.messages import Message, RefusalContentBlock, TextContentBlock
from famulus_schemas.ports import Emission, Listener
from famulus_schemas.records import Records
from famulus_schemas.steps import FunctionToolCall, RunStep, ToolCallsStepDetails

GAP_WAIT_S = 0.05
GAP_WAITS_MAX = 100

_message = msgspec.json.Decoder(Message).decode
_step = msgspec.json.Decoder(RunStep).decode
_encode = msgspec.json.encode

_MESSAGE_ENDS = frozenset({"thread.message.completed", "thread.message.incomplete"})
_STEP_ENDS = frozenset(
    f"thread.run.step.{end}" for end in ("completed", "failed", "cancelled", "expired")
)
_AT_REST = frozenset(
    f"thread.run.{status}"
    for status in ("requires_action", "completed", "incomplete", "failed", "cancelled", "expired")
)


class Telling(Protocol):
    """A run that is being told in this process; see Journal."""

    @property
    def at(self) -> Position: ...

    @property
    def told(self) -> Sequence[AssistantStreamEvent]: ...


def cut(delta: MessageDeltaEvent | RunStepDeltaEvent, skip: int) -> Sequence[object]:
    """A delta without what its first `skip` counts added; nothing where that was all of it."""
    if skip <= 0:
        return [delta]
    if skip >= added(delta):
        return []
    if isinstance(delta, MessageDeltaEvent):
        return [_cut_message(delta, skip)]
    return [_cut_step(delta, skip)]


def _cut_message(delta: MessageDeltaEvent, skip: int) -> MessageDeltaEvent:
    blocks: list[MessageContentDelta] = []
    for block in delta.delta.content or ():
        value = ""
        if isinstance(block, TextDeltaBlock) and isinstance(block.text, TextDelta):
            value = block.text.value or ""
            if skip < len(value):
                text = TextDelta(value=value[skip:])
                blocks.append(TextDeltaBlock(index=block.index, text=text if skip else block.text))
        elif isinstance(block, RefusalDeltaBlock):
            value = block.refusal or ""
            if skip < len(value):
                blocks.append(RefusalDeltaBlock(index=block.index, refusal=value[skip:]))
        skip = max(0, skip - len(value))
    return MessageDeltaEvent(id=delta.id, delta=MessageDelta(content=blocks))


def _cut_step(delta: RunStepDeltaEvent, skip: int) -> RunStepDeltaEvent:
    details = delta.delta.step_details
    assert isinstance(details, ToolCallsStepDelta)
    kept: list[ToolCallDelta] = []
    for call in details.tool_calls or ():
        if not isinstance(call, FunctionToolCallDelta) or not call.function:
            continue
        arguments = call.function.arguments or ""
        opens = 1 if call.id else 0
        if skip < opens:
            kept.append(call)
        elif skip - opens < len(arguments):
            function = FunctionCallDelta(arguments=arguments[skip - opens :])
            kept.append(FunctionToolCallDelta(index=call.index, function=function))
        skip = max(0, skip - opens - len(arguments))
    return RunStepDeltaEvent(
        id=delta.id, delta=RunStepDelta(step_details=ToolCallsStepDelta(tool_calls=kept))
    )


def delta_of_message(message: Message) -> MessageDeltaEvent:
    """A message's whole content as one delta."""
    blocks: list[MessageContentDelta] = []
    for index, part in enumerate(message.content):
        if isinstance(part, TextContentBlock):
            text = TextDelta(value=part.text.value, annotations=[])
            blocks.append(TextDeltaBlock(index=index, text=text))
        elif isinstance(part, RefusalContentBlock):
            blocks.append(RefusalDeltaBlock(index=index, refusal=part.refusal))
    return MessageDeltaEvent(id=message.id, delta=MessageDelta(content=blocks))


def delta_of_step(step: RunStep) -> RunStepDeltaEvent | None:
    """A round of calls as one delta; None for a step of another kind."""
    if not isinstance(step.step_details, ToolCallsStepDetails):
        return None
    calls: list[ToolCallDelta] = [
        FunctionToolCallDelta(
            index=index,
            id=call.id,
            function=FunctionCallDelta(
                name=call.function.name, arguments=call.function.arguments, output=None
            ),
        )
        for index, call in enumerate(step.step_details.tool_calls)
        if isinstance(call, FunctionToolCall)
    ]
    details = ToolCallsStepDelta(tool_calls=calls)
    return RunStepDeltaEvent(id=step.id, delta=RunStepDelta(step_details=details))


def _decoded(emission: Emission) -> MessageDeltaEvent | RunStepDeltaEvent:
    if emission.name == "thread.message.delta":
        return msgspec.json.decode(emission.data, type=MessageDeltaEvent)
    return msgspec.json.decode(emission.data, type=RunStepDeltaEvent)


class Replay:
    """One reader's way through one run's stream."""

    def __init__(self, records: Records, *, thread_id: str, run_id: str, after: Position) -> None:
        self._records = records
        self._thread_id = thread_id
        self._run_id = run_id
        self._at = after
        self._open: Message | RunStep | None = None
        self._is_at_rest = False
        self._told_end = 0

    async def frames(self, listener: Listener, live: Telling | None) -> AsyncGenerator[bytes, None]:
        """Encoded frames to the end of the stream. `live` was taken right after listening began."""
        told = list(live.told) if live is not None else []
        async for frame in self._from_log():
            yield frame
        if not self._is_at_rest:
            for event in told:
                if frame := self._catch_up(event):
                    yield frame
            async for frame in self._from(listener):
                yield frame
        yield encode_event(b"[DONE]", name="done")

    # --- what was told ------------------------------------------------------------------------

    async def _from_log(self) -> AsyncGenerator[bytes, None]:
        async with aclosing(read_log(self._records, self._thread_id, self._run_id)) as log:
            async for entry in log:
                _, place = parse(entry.position) or ("", Position())
                frames = b""
                if place.seq > self._at.seq:
                    frames = self._whole_item(entry) + self._frame(entry)
                    self._at = place
                self._note(entry)
                if frames:
                    yield frames

    def _frame(self, entry: Entry) -> bytes:
        return encode_event(bytes(entry.data), name=entry.event, position=entry.position)

    def _note(self, entry: Entry) -> None:
        """Keep in mind which item is open, and whether the run is at rest."""
        if entry.event == "thread.message.created":
            self._open = _message(entry.data)
        elif entry.event == "thread.run.step.created":
            self._open = _step(entry.data)
        elif entry.event in _MESSAGE_ENDS or entry.event in _STEP_ENDS:
            self._open = None
        if entry.event.startswith("thread.run.") and not entry.event.startswith("thread.run.step"):
            self._is_at_rest = entry.event in _AT_REST

    def _whole_item(self, entry: Entry) -> bytes:
        """What the item that ends here, or waits for its outputs, adds to what the reader has."""
        delta: MessageDeltaEvent | RunStepDeltaEvent | None = None
        if entry.event in _MESSAGE_ENDS:
            delta = delta_of_message(_message(entry.data))
        elif entry.event in _STEP_ENDS and isinstance(self._open, RunStep):
            delta = delta_of_step(_step(entry.data))
        if delta is None:
            return b""
        return self._delta(delta, end=added(delta))

    def _delta(self, delta: MessageDeltaEvent | RunStepDeltaEvent, *, end: int) -> bytes:
        """What of a delta, which brings its item to `end`, the reader has not got."""
        start = end - added(delta)
        frames = b""
        for part in cut(delta, self._at.offset - start):
            self._at = Position(self._at.seq, end)
            name = (
                "thread.message.delta"
                if isinstance(part, MessageDeltaEvent)
                else "thread.run.step.delta"
            )
            position = self._at.text(self._run_id, 1)
            frames += encode_event(_encode(part), name=name, position=position)
        return frames

    # --- what is being told -------------------------------------------------------------------

    def _catch_up(self, event: AssistantStreamEvent) -> bytes:
        delta = event.data
        assert isinstance(delta, MessageDeltaEvent | RunStepDeltaEvent)
        self._told_end += added(delta)
        return self._delta(delta, end=self._told_end)

    async def _from(self, listener: Listener) -> AsyncGenerator[bytes, None]:
        async for batch in listener:
            if frames := await self._of_batch(batch):
                yield frames

    async def _of_batch(self, batch: Sequence[Emission]) -> bytes:
        frames = b""
        for emission in batch:
            parsed = parse(emission.position)
            if parsed is None:
                continue
            if is_delta(emission.name):
                frames += await self._of_delta(emission, parsed[1])
            elif parsed[1].seq > self._at.seq:
                frames += frames_of([emission])
                self._at = parsed[1]
        return frames

    async def _of_delta(self, emission: Emission, end: Position) -> bytes:
        if end.seq < self._at.seq or end <= self._at:
            return b""
        delta = _decoded(emission)
        start = end.offset - added(delta)
        frames = b""
        if start > self._at.offset and isinstance(delta, MessageDeltaEvent):
            frames = await self._fill_gap(delta.id, start)
        return frames + self._delta(delta, end=end.offset)

    async def _fill_gap(self, message_id: str, start: int) -> bytes:
        """What another process told before we listened, from the message's checkpoints."""
        for _ in range(GAP_WAITS_MAX):
            record = await self._records.get("message", message_id)
            if record is None:
                return b""
            delta = delta_of_message(_message(record.body))
            if added(delta) >= start:
                return self._delta(delta, end=added(delta))
            await asyncio.sleep(GAP_WAIT_S)
        return b""
