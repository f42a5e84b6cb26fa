"""Deltas of any size: a part of one, or an item's whole content as one."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from famulus_runs.log import added
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
from famulus_schemas.messages import Message, RefusalContentBlock, TextContentBlock
from famulus_schemas.steps import FunctionToolCall, RunStep, ToolCallsStepDetails

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
            value = (block.text.value or "")[:size]
            if value:
                text = TextDelta(value=value, annotations=block.text.annotations)
                blocks.append(TextDeltaBlock(index=block.index, text=text))
        elif isinstance(block, RefusalDeltaBlock):
            value = (block.refusal or "")[:size]
            if value:
                blocks.append(RefusalDeltaBlock(index=block.index, refusal=value))
        else:
            continue
        size -= len(value)
    return MessageDeltaEvent(id=delta.id, delta=MessageDelta(content=blocks))


def _head_of_step(delta: RunStepDeltaEvent, size: int) -> RunStepDeltaEvent:
    details = delta.delta.step_details
    assert isinstance(details, ToolCallsStepDelta)
    kept: list[ToolCallDelta] = []
    for call in details.tool_calls or ():
        if not isinstance(call, FunctionToolCallDelta) or not call.function or size <= 0:
            continue
        opens = 1 if call.id else 0
        arguments = (call.function.arguments or "")[: size - opens]
        function = replace(call.function, arguments=arguments)
        kept.append(replace(call, function=function))
        size -= opens + len(arguments)
    return _of_calls(delta.id, kept)


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
    return _of_calls(delta.id, kept)


def told_apart(delta: Delta) -> Sequence[Delta]:
    """The same as it is told: a call comes with its id and name first, and then its arguments.

    Clients tell a call's first delta to no handler of deltas.
    """
    details = delta.delta.step_details if isinstance(delta, RunStepDeltaEvent) else None
    calls = details.tool_calls if isinstance(details, ToolCallsStepDelta) else ()
    return [_of_calls(delta.id, [part]) for call in calls or () for part in _parts(call)] or [delta]


def _parts(call: ToolCallDelta) -> Sequence[ToolCallDelta]:
    if not isinstance(call, FunctionToolCallDelta) or not (call.id and call.function):
        return [call]
    opened = replace(call, function=replace(call.function, arguments=""))
    function = FunctionCallDelta(arguments=call.function.arguments)
    rest = FunctionToolCallDelta(index=call.index, function=function)
    return [opened, rest] if call.function.arguments else [opened]


def _of_calls(step_id: str, calls: Sequence[ToolCallDelta]) -> RunStepDeltaEvent:
    details = ToolCallsStepDelta(tool_calls=list(calls))
    return RunStepDeltaEvent(id=step_id, delta=RunStepDelta(step_details=details))


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
    return _of_calls(step.id, calls)


def delta_of(item: Message | RunStep) -> Delta | None:
    """An item's whole content as one delta; None where it has none that is told in deltas."""
    return delta_of_message(item) if isinstance(item, Message) else delta_of_step(item)
