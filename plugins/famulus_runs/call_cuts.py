"""How calls are told in deltas: how far a delta gets, its head, its rest, and a call as one.

A call counts one for being opened, and then what of it grows: arguments, or code and its outputs.
Of the outputs, logs count their characters and an image counts one, so that the count says what
was told, however it was cut.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import UNSET
from msgspec.structs import replace

from famulus_schemas.deltas import (
    CodeInterpreterCallDelta,
    CodeInterpreterImageDelta,
    CodeInterpreterImageFileDelta,
    CodeInterpreterLogsDelta,
    CodeInterpreterOutputDelta,
    CodeInterpreterToolCallDelta,
    FileSearchToolCallDelta,
    FunctionCallDelta,
    FunctionToolCallDelta,
    ToolCallDelta,
)
from famulus_schemas.steps import (
    CodeInterpreterLogs,
    CodeInterpreterOutput,
    CodeInterpreterToolCall,
    FileSearchToolCall,
    ToolCall,
)


def size(call: ToolCallDelta) -> int:
    """How far it moves the offset."""
    opens = 1 if call.id else 0
    if isinstance(call, FunctionToolCallDelta):
        return opens + len((call.function and call.function.arguments) or "")
    if isinstance(call, CodeInterpreterToolCallDelta):
        return opens + len(_input(call)) + sum(map(_size_of_output, _outputs(call)))
    return opens


def head(call: ToolCallDelta, count: int) -> ToolCallDelta | None:
    """What its first counts tell; None for none of them."""
    if count <= 0:
        return None
    count -= 1 if call.id else 0
    if isinstance(call, FunctionToolCallDelta) and call.function:
        arguments = (call.function.arguments or "")[:count]
        return replace(call, function=replace(call.function, arguments=arguments))
    if isinstance(call, CodeInterpreterToolCallDelta) and call.code_interpreter:
        code = _input(call)
        outputs: list[CodeInterpreterOutputDelta] = []
        left = count - len(code)
        for output in _outputs(call):
            if left > 0:
                outputs.append(_head_of_output(output, left))
            left -= _size_of_output(output)
        return replace(
            call, code_interpreter=_detail(call.code_interpreter, code[: max(count, 0)], outputs)
        )
    return call


def rest(call: ToolCallDelta, skip: int) -> ToolCallDelta | None:
    """What comes after its first counts; None where that is nothing."""
    if skip <= 0:
        return call
    if skip >= size(call):
        return None
    skip -= 1 if call.id else 0
    if isinstance(call, FunctionToolCallDelta):
        arguments = (call.function and call.function.arguments) or ""
        function = FunctionCallDelta(arguments=arguments[skip:])
        return FunctionToolCallDelta(index=call.index, function=function)
    assert isinstance(call, CodeInterpreterToolCallDelta)
    code = _input(call)
    outputs: list[CodeInterpreterOutputDelta] = []
    skip_of_outputs = skip - len(code)
    for output in _outputs(call):
        if (left := _rest_of_output(output, skip_of_outputs)) is not None:
            outputs.append(left)
        skip_of_outputs -= _size_of_output(output)
    detail = CodeInterpreterCallDelta(input=code[skip:] or UNSET, outputs=outputs or UNSET)
    return CodeInterpreterToolCallDelta(index=call.index, code_interpreter=detail)


def apart(call: ToolCallDelta) -> Sequence[ToolCallDelta]:
    """The same as it is told: that the call is there, and then what of it grows.

    Clients tell a call's first delta to no handler of deltas.
    """
    opened = head(call, 1) if call.id else None
    if opened is None:
        return [call]
    more = rest(call, 1)
    return [opened] if more is None else [opened, more]


def whole(call: ToolCall, index: int) -> ToolCallDelta:
    """All that is told of a call as one delta."""
    if isinstance(call, FileSearchToolCall):
        return FileSearchToolCallDelta(index=index, id=call.id)
    if isinstance(call, CodeInterpreterToolCall):
        outputs = [
            output_delta(output, number)
            for number, output in enumerate(call.code_interpreter.outputs)
        ]
        detail = CodeInterpreterCallDelta(input=call.code_interpreter.input, outputs=outputs)
        return CodeInterpreterToolCallDelta(index=index, id=call.id, code_interpreter=detail)
    function = FunctionCallDelta(
        name=call.function.name, arguments=call.function.arguments, output=None
    )
    return FunctionToolCallDelta(index=index, id=call.id, function=function)


def output_delta(
    output: CodeInterpreterOutput, index: int, *, told: int = 0
) -> CodeInterpreterOutputDelta:
    """An output of code; of logs, what comes after the characters that were told."""
    if isinstance(output, CodeInterpreterLogs):
        return CodeInterpreterLogsDelta(index=index, logs=output.logs[told:])
    image = CodeInterpreterImageFileDelta(file_id=output.image.file_id)
    return CodeInterpreterImageDelta(index=index, image=image)


def _input(call: CodeInterpreterToolCallDelta) -> str:
    return (call.code_interpreter and call.code_interpreter.input) or ""


def _outputs(call: CodeInterpreterToolCallDelta) -> Sequence[CodeInterpreterOutputDelta]:
    return (call.code_interpreter and call.code_interpreter.outputs) or ()


def _detail(
    detail: CodeInterpreterCallDelta, code: str, outputs: list[CodeInterpreterOutputDelta]
) -> CodeInterpreterCallDelta:
    """The same detail with less in it; what it says nothing of, it goes on to say nothing of."""
    return CodeInterpreterCallDelta(
        input=UNSET if detail.input is UNSET else code,
        outputs=UNSET if detail.outputs is UNSET else outputs,
    )


def _size_of_output(output: CodeInterpreterOutputDelta) -> int:
    return len(output.logs or "") if isinstance(output, CodeInterpreterLogsDelta) else 1


def _head_of_output(output: CodeInterpreterOutputDelta, count: int) -> CodeInterpreterOutputDelta:
    if isinstance(output, CodeInterpreterLogsDelta):
        return replace(output, logs=(output.logs or "")[:count])
    return output


def _rest_of_output(
    output: CodeInterpreterOutputDelta, skip: int
) -> CodeInterpreterOutputDelta | None:
    if skip <= 0:
        return output
    if skip >= _size_of_output(output):
        return None
    assert isinstance(output, CodeInterpreterLogsDelta)
    return replace(output, logs=(output.logs or "")[skip:])
