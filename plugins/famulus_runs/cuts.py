"""Deltas of any size: a part of one, or an item's whole content as one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from msgspec import UNSET

from famulus_runs import call_cuts
from famulus_runs.log import added
from famulus_runs.marks import annotation_delta
from famulus_schemas.deltas import (
    ImageFileDelta,
    ImageFileDeltaBlock,
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
from famulus_schemas.messages import (
    ImageFileContentBlock,
    Message,
    RefusalContentBlock,
    Text,
    TextContentBlock,
)
from famulus_schemas.steps import RunStep, ToolCallsStepDetails

Delta = MessageDeltaEvent | RunStepDeltaEvent


def cut(delta: Delta, skip: int) -> Sequence[Delta]:
    """A delta without what its first `skip` counts added; nothing where that was all of it."""
    if added(delta) <= max(skip, 0):
        return []
    if skip <= 0:
        return [delta]
    if isinstance(delta, MessageDeltaEvent):
        return [_cut_message(delta, skip)]
    return [_cut_step(delta, skip)]


def head(delta: Delta, size: int) -> Delta:
    """What the first `size` counts of a delta added."""
    if isinstance(delta, MessageDeltaEvent):
        return _head_of_message(delta, size)
    return _head_of_step(delta, size)


def _head_of_message(delta: MessageDeltaEvent, size: int) -> MessageDeltaEvent:
    blocks: list[MessageContentDelta] = []
    for block in delta.delta.content or ():
        if isinstance(block, TextDeltaBlock) and isinstance(block.text, TextDelta):
            whole = block.text.value or ""
            value = whole[:size]
            if value:
                is_end = len(value) == len(whole)
                text = block.text if is_end else _without_annotations(block.text, value)
                blocks.append(TextDeltaBlock(index=block.index, text=text))
            size -= len(value)
        elif isinstance(block, RefusalDeltaBlock):
            value = (block.refusal or "")[:size]
            if value:
                blocks.append(RefusalDeltaBlock(index=block.index, refusal=value))
            size -= len(value)
        elif isinstance(block, ImageFileDeltaBlock) and size > 0:
            blocks.append(block)
            size -= 1
    return _of_blocks(delta.id, blocks)


def _without_annotations(text: TextDelta, value: str) -> TextDelta:
    """The beginning of a text: annotations belong to its end."""
    return TextDelta(value=value, annotations=UNSET if text.annotations is UNSET else [])


def _head_of_step(delta: RunStepDeltaEvent, size: int) -> RunStepDeltaEvent:
    details = delta.delta.step_details
    assert isinstance(details, ToolCallsStepDelta)
    kept: list[ToolCallDelta] = []
    for call in details.tool_calls or ():
        if (first := call_cuts.head(call, size)) is not None:
            kept.append(first)
        size -= call_cuts.size(call)
    return delta_of_calls(delta.id, kept)


def _cut_message(delta: MessageDeltaEvent, skip: int) -> MessageDeltaEvent:
    blocks: list[MessageContentDelta] = []
    for block in delta.delta.content or ():
        size = 1
        if isinstance(block, TextDeltaBlock) and isinstance(block.text, TextDelta):
            value = block.text.value or ""
            size = len(value)
            if 0 < skip < size:
                text = TextDelta(value=value[skip:], annotations=block.text.annotations or UNSET)
                blocks.append(TextDeltaBlock(index=block.index, text=text))
            elif skip < size:
                blocks.append(block)
        elif isinstance(block, RefusalDeltaBlock):
            value = block.refusal or ""
            size = len(value)
            if skip < size:
                blocks.append(RefusalDeltaBlock(index=block.index, refusal=value[skip:]))
        elif not skip:
            blocks.append(block)
        skip = max(0, skip - size)
    return _of_blocks(delta.id, blocks)


def _cut_step(delta: RunStepDeltaEvent, skip: int) -> RunStepDeltaEvent:
    details = delta.delta.step_details
    assert isinstance(details, ToolCallsStepDelta)
    kept: list[ToolCallDelta] = []
    for call in details.tool_calls or ():
        if (last := call_cuts.rest(call, skip)) is not None:
            kept.append(last)
        skip = max(0, skip - call_cuts.size(call))
    return delta_of_calls(delta.id, kept)


def told_apart(delta: Delta) -> Sequence[Delta]:
    """The same as it is told: each part by itself, and calls with their id first."""
    if isinstance(delta, MessageDeltaEvent):
        blocks = delta.delta.content or ()
        return [_of_blocks(delta.id, [block]) for block in blocks] or [delta]
    details = delta.delta.step_details
    calls = details.tool_calls if isinstance(details, ToolCallsStepDelta) else ()
    parts = [part for call in calls or () for part in call_cuts.apart(call)]
    return [delta_of_calls(delta.id, [part]) for part in parts] or [delta]


def _of_blocks(message_id: str, blocks: list[MessageContentDelta]) -> MessageDeltaEvent:
    return MessageDeltaEvent(id=message_id, delta=MessageDelta(content=blocks))


def delta_of_message(message: Message) -> MessageDeltaEvent:
    """A message's whole content as one delta."""
    blocks: list[MessageContentDelta] = []
    for index, part in enumerate(message.content):
        if isinstance(part, TextContentBlock):
            blocks += _blocks_of_text(part.text, index)
        elif isinstance(part, RefusalContentBlock):
            blocks.append(RefusalDeltaBlock(index=index, refusal=part.refusal))
        elif isinstance(part, ImageFileContentBlock):
            blocks.append(delta_of_image(part, index))
    return _of_blocks(message.id, blocks)


def delta_of_image(part: ImageFileContentBlock, index: int) -> ImageFileDeltaBlock:
    """An image in a message, as it is told."""
    image = ImageFileDelta(file_id=part.image_file.file_id, detail=part.image_file.detail)
    return ImageFileDeltaBlock(index=index, image_file=image)


def _blocks_of_text(text: Text, index: int) -> Iterator[TextDeltaBlock]:
    """A text that ends where an annotation's place ends, and another one from there on."""
    begin = 0
    for number, annotation in enumerate(text.annotations):
        value = text.value[begin : annotation.end_index]
        begin = annotation.end_index
        told = TextDelta(value=value, annotations=[annotation_delta(annotation, number)])
        yield TextDeltaBlock(index=index, text=told)
    if begin < len(text.value) or not begin:
        told = TextDelta(value=text.value[begin:], annotations=UNSET if text.annotations else [])
        yield TextDeltaBlock(index=index, text=told)


def delta_of_step(step: RunStep) -> RunStepDeltaEvent | None:
    """A round of calls as one delta; None for a step of another kind."""
    if not isinstance(step.step_details, ToolCallsStepDetails):
        return None
    calls = enumerate(step.step_details.tool_calls)
    return delta_of_calls(step.id, [call_cuts.whole(call, index) for index, call in calls])


def delta_of_calls(step_id: str, calls: list[ToolCallDelta]) -> RunStepDeltaEvent:
    """What a step gained in its calls."""
    details = ToolCallsStepDelta(tool_calls=calls)
    return RunStepDeltaEvent(id=step_id, delta=RunStepDelta(step_details=details))


def delta_of(item: Message | RunStep) -> Delta | None:
    """An item's whole content as one delta; None where it has none that is told in deltas."""
    return delta_of_message(item) if isinstance(item, Message) else delta_of_step(item)
