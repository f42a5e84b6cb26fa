"""A tool call being written and run, in the form in which its step shows it."""

from __future__ import annotations

import sys
from collections.abc import Callable

import msgspec
from msgspec import UNSET
from msgspec.structs import replace

from famulus_runs.call_cuts import output_delta, whole
from famulus_runs.call_forms import Brackets
from famulus_runs.code_input import CodeInput, arguments_of, code_in
from famulus_runs.kinds import KeptCall
from famulus_schemas.deltas import (
    CodeInterpreterCallDelta,
    CodeInterpreterOutputDelta,
    CodeInterpreterToolCallDelta,
    FunctionCallDelta,
    FunctionToolCallDelta,
    ToolCallDelta,
)
from famulus_schemas.messages import ImageFileContentBlock
from famulus_schemas.steps import (
    CodeInterpreterCall,
    CodeInterpreterLogs,
    CodeInterpreterOutput,
    CodeInterpreterToolCall,
    FileSearchCall,
    FileSearchToolCall,
    FunctionCallWithOutput,
    FunctionToolCall,
)
from famulus_schemas.steps import ToolCall as ShownCall
from famulus_schemas.tooling import CallForm, Mark, Source, SourceSpan, ToolCall, ToolOutput


class CallDraft:
    """One call, shown as a function's."""

    tells_outputs = False
    """Whether deltas tell what it gives while it is at work."""
    is_kept = False
    """Whether its wire form does not say all that is to be kept of it."""

    def __init__(self, id: str, name: str) -> None:
        self.id = id
        self.name = name
        self.output: str | None = None
        self.marks: tuple[Mark, ...] = ()
        self._sources: tuple[SourceSpan, ...] = ()
        self.content: tuple[ImageFileContentBlock, ...] = ()
        self.is_told = False
        """Whether that it is there was."""
        self.is_whole = False
        """Whether the model has written all of it."""
        self._arguments: list[str] = []
        self._brackets = Brackets()
        self._untold = ""

    def add(self, arguments: str) -> None:
        """More of its arguments."""
        self._arguments.append(arguments)
        self._untold += arguments
        self.is_whole = self.is_whole or self._brackets.end_in(arguments) is not None

    def end(self) -> None:
        """The model has written all of it."""

    def call(self) -> ToolCall:
        """The call as it is run."""
        return ToolCall(id=self.id, name=self.name, arguments="".join(self._arguments))

    def put_arguments(self, arguments: str) -> None:
        """Have its arguments as they were put right."""
        self._arguments = [arguments]

    def put_progress(self, output: ToolOutput) -> None:
        """Note what it gave so far."""

    def put_result(self, output: ToolOutput) -> None:
        """Note what it gave."""
        self.put_progress(output)
        self.output = output.text
        self.marks, self.content = output.marks, output.content
        self._sources = () if output.is_error else output.sources
        self.is_kept = self.is_kept or bool(output.marks or output.sources or output.content)

    def sources(self) -> list[Source]:
        """The passages that it gave, as the model is told them."""
        told = self.output or ""
        return [Source(text=told[one.start : one.end], mark=one.mark) for one in self._sources]

    def untold(self, index: int) -> ToolCallDelta | None:
        """What is to be told of it. Its id and name come once, because clients add strings up."""
        arguments, self._untold = self._untold, ""
        if self.is_told:
            function = FunctionCallDelta(arguments=arguments)
            return FunctionToolCallDelta(index=index, function=function) if arguments else None
        self.is_told = True
        function = FunctionCallDelta(name=self.name, arguments=arguments, output=None)
        return FunctionToolCallDelta(index=index, id=self.id, function=function)

    def forget_told(self) -> None:
        """It is to be told again from its beginning."""
        self.is_told = False
        self._untold = "".join(self._arguments)

    def begin_again(self) -> None:
        """It is to be run again: what it had given is gone."""

    def shown(self) -> ShownCall:
        """The call as its step shows it."""
        arguments = "".join(self._arguments)
        return FunctionToolCall(
            id=self.id,
            function=FunctionCallWithOutput(
                name=self.name, arguments=arguments, output=self.output
            ),
        )

    def kept(self) -> KeptCall:
        """What is kept of it beside that."""
        call = self.call()
        return KeptCall(
            id=call.id,
            name=call.name,
            arguments=call.arguments,
            output=self.output,
            marks=self.marks,
            sources=self._sources,
            content=self.content,
        )

    def take(self, kept: KeptCall) -> None:
        """Have what was kept of it, all of which was told."""
        self._arguments = [kept.arguments]
        self.output, self.marks, self.content = kept.output, kept.marks, kept.content
        self._sources = kept.sources
        self.is_told = self.is_whole = True
        self.is_kept = bool(kept.marks or kept.sources or kept.content)


class SearchDraft(CallDraft):
    """A call that is shown as a search: that it was begun, and in the end what it found."""

    is_kept = True

    def __init__(self, id: str, name: str) -> None:
        super().__init__(id, name)
        self._found = FileSearchCall()

    def put_progress(self, output: ToolOutput) -> None:
        """Note what was found so far."""
        if isinstance(output.shown, FileSearchCall):
            self._found = output.shown

    def untold(self, index: int) -> ToolCallDelta | None:
        """That it is there."""
        if self.is_told:
            return None
        self.is_told = True
        return whole(self.shown(), index)

    def begin_again(self) -> None:
        """Nothing was found."""
        self._found = FileSearchCall()

    def shown(self) -> FileSearchToolCall:
        """The call with what was found, in whole."""
        return FileSearchToolCall(id=self.id, file_search=self._found)

    def kept(self) -> KeptCall:
        """With what it searched for, which the wire does not say."""
        return replace(super().kept(), shown=self.shown())

    def take(self, kept: KeptCall) -> None:
        """Have what was kept of it."""
        super().take(kept)
        self.is_kept = True
        if isinstance(kept.shown, FileSearchToolCall):
            self._found = kept.shown.file_search


class CodeDraft(CallDraft):
    """A call that is shown as code, while it is written, and its outputs, while it runs."""

    tells_outputs = True
    is_kept = True

    def __init__(self, id: str, name: str, argument: str, outputs_chars_max: int) -> None:
        super().__init__(id, name)
        self._argument = argument
        self._chars_max = outputs_chars_max
        self._reading = CodeInput(argument)
        self._input: list[str] = []
        self._outputs: tuple[CodeInterpreterOutput, ...] = ()
        self._told_outputs = 0
        """How many of them were told, the last one as far as the next says."""
        self._told_chars = 0

    def add(self, arguments: str) -> None:
        """More of its arguments."""
        self._arguments.append(arguments)
        self._add_input(self._reading.feed(arguments))

    def end(self) -> None:
        """The model has written all of it."""
        if self.is_whole:
            return
        self.is_whole = True
        self._add_input(self._reading.end())
        if self._reading.is_plain:
            self._arguments = [arguments_of("".join(self._input), self._argument)]

    def _add_input(self, text: str) -> None:
        if text:
            self._input.append(text)
            self._untold += text

    def put_arguments(self, arguments: str) -> None:
        """Have its arguments put right; what was shown of the code stays."""
        self._arguments = [arguments]
        shown = "".join(self._input)
        code = code_in(arguments, self._argument) or ""
        if code.startswith(shown):
            self._add_input(code[len(shown) :])

    def put_progress(self, output: ToolOutput) -> None:
        """Note what it gave so far; what does not go on with what was shown is not looked at."""
        if isinstance(output.shown, tuple):
            outputs = _within(output.shown, self._chars_max)
            if _goes_on(outputs, self._outputs):
                self._outputs = outputs

    def untold(self, index: int) -> ToolCallDelta | None:
        """More of the code, then of the outputs."""
        code, self._untold = self._untold, ""
        outputs = self._untold_outputs()
        if self.is_told:
            if not code and not outputs:
                return None
            detail = CodeInterpreterCallDelta(input=code or UNSET, outputs=outputs or UNSET)
            return CodeInterpreterToolCallDelta(index=index, code_interpreter=detail)
        self.is_told = True
        detail = CodeInterpreterCallDelta(input=code, outputs=outputs)
        return CodeInterpreterToolCallDelta(index=index, id=self.id, code_interpreter=detail)

    def _untold_outputs(self) -> list[CodeInterpreterOutputDelta]:
        told: list[CodeInterpreterOutputDelta] = []
        for index in range(max(0, self._told_outputs - 1), len(self._outputs)):
            output, is_new = self._outputs[index], index >= self._told_outputs
            had = 0 if is_new else self._told_chars
            if is_new or _length(output) > had:
                told.append(output_delta(output, index, told=had))
            self._told_chars = _length(output)
        self._told_outputs = len(self._outputs)
        return told

    def forget_told(self) -> None:
        """It is to be told again from its beginning."""
        self.is_told = False
        self._untold = "".join(self._input)
        self._told_outputs = self._told_chars = 0

    def begin_again(self) -> None:
        """It has put out nothing."""
        self._outputs = ()

    def shown(self) -> CodeInterpreterToolCall:
        """The call as it is."""
        code = "".join(self._input)
        detail = CodeInterpreterCall(input=code, outputs=list(self._outputs))
        return CodeInterpreterToolCall(id=self.id, code_interpreter=detail)

    def kept(self) -> KeptCall:
        """With what the model wrote, and was told."""
        return replace(super().kept(), shown=self.shown())

    def take(self, kept: KeptCall) -> None:
        """Have what was kept of it, all of which was told."""
        super().take(kept)
        self.is_kept = True
        if isinstance(kept.shown, CodeInterpreterToolCall):
            self._input = [kept.shown.code_interpreter.input]
            self._outputs = tuple(kept.shown.code_interpreter.outputs)
        self._untold_outputs()


def _all_functions(name: str) -> CallForm | None:
    return None


class Forms(msgspec.Struct, frozen=True, kw_only=True):
    """How the steps of a run show its calls."""

    of: Callable[[str], CallForm | None] = _all_functions
    """The form of calls of a function, by its name; None where they are shown as that."""
    outputs_chars_max: int = sys.maxsize
    """How much a step shows of what one call put out."""
    with_contents: bool = False
    """Whether events tell the passages that were found."""


def new_draft(id: str, name: str, forms: Forms) -> CallDraft:
    """A call that nobody has seen yet."""
    form = forms.of(name)
    if form is None:
        return CallDraft(id, name)
    if form.call is FileSearchToolCall:
        return SearchDraft(id, name)
    return CodeDraft(id, name, form.input_argument, forms.outputs_chars_max)


def draft_of_kept(kept: KeptCall, forms: Forms) -> CallDraft:
    """A call as it was kept; its arguments are whole."""
    draft: CallDraft
    if isinstance(kept.shown, FileSearchToolCall):
        draft = SearchDraft(kept.id, kept.name)
    elif isinstance(kept.shown, CodeInterpreterToolCall):
        draft = CodeDraft(kept.id, kept.name, "", forms.outputs_chars_max)
    else:
        draft = CallDraft(kept.id, kept.name)
    draft.take(kept)
    return draft


def draft_of_shown(stored: FunctionToolCall) -> CallDraft:
    """A function's call, of which the wire says all."""
    function = stored.function
    draft = CallDraft(stored.id, function.name)
    draft.take(
        KeptCall(
            id=stored.id,
            name=function.name,
            arguments=function.arguments,
            output=function.output,
        )
    )
    return draft


def _length(output: CodeInterpreterOutput) -> int:
    return len(output.logs) if isinstance(output, CodeInterpreterLogs) else 1


def _within(
    outputs: tuple[CodeInterpreterOutput, ...], chars_max: int
) -> tuple[CodeInterpreterOutput, ...]:
    """As many of the outputs as a step may show, without those that are empty."""
    kept: list[CodeInterpreterOutput] = []
    for output in outputs:
        size = _length(output)
        if isinstance(output, CodeInterpreterLogs) and size > chars_max:
            output = CodeInterpreterLogs(logs=output.logs[:chars_max])
        if size and chars_max > 0:
            kept.append(output)
        chars_max -= size
    return tuple(kept)


def _goes_on(
    outputs: tuple[CodeInterpreterOutput, ...], before: tuple[CodeInterpreterOutput, ...]
) -> bool:
    """Whether nothing that was shown is different now."""
    if not before:
        return True
    *earlier, last = before
    if len(outputs) < len(before) or list(outputs[: len(earlier)]) != earlier:
        return False
    now = outputs[len(earlier)]
    if isinstance(last, CodeInterpreterLogs) and isinstance(now, CodeInterpreterLogs):
        return now.logs.startswith(last.logs)
    return now == last
