"""What a run is writing: a message or a round of tool calls, with the step that it belongs to."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence

import msgspec
from msgspec import UNSET
from msgspec.structs import replace

from famulus_runs.call_forms import Brackets
from famulus_runs.cuts import delta_of_message, delta_of_step, told_apart
from famulus_runs.usage import usage_of
from famulus_schemas.deltas import (
    FunctionCallDelta,
    FunctionToolCallDelta,
    MessageDelta,
    MessageDeltaEvent,
    RefusalDeltaBlock,
    RunStepDelta,
    RunStepDeltaEvent,
    TextDelta,
    TextDeltaBlock,
    ToolCallsStepDelta,
)
from famulus_schemas.events import (
    AssistantStreamEvent,
    ThreadMessageCompleted,
    ThreadMessageCreated,
    ThreadMessageDelta,
    ThreadMessageIncomplete,
    ThreadMessageInProgress,
    ThreadRunStepCancelled,
    ThreadRunStepCompleted,
    ThreadRunStepCreated,
    ThreadRunStepDelta,
    ThreadRunStepExpired,
    ThreadRunStepFailed,
    ThreadRunStepInProgress,
)
from famulus_schemas.inference import TokenUsage, ToolCallDelta
from famulus_schemas.messages import (
    Message,
    MessageContent,
    MessageIncompleteDetails,
    MessageIncompleteReason,
    RefusalContentBlock,
    Text,
    TextContentBlock,
)
from famulus_schemas.runs import Run, RunError
from famulus_schemas.steps import (
    FunctionCallWithOutput,
    FunctionToolCall,
    MessageCreation,
    MessageCreationStepDetails,
    RunStep,
    RunStepError,
    RunStepErrorCode,
    RunStepType,
    StepDetails,
    ToolCallsStepDetails,
)
from famulus_schemas.tooling import ToolCall


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """A step that must be stored as it now is, although no event tells of it."""

    data: RunStep


Batch = Sequence[AssistantStreamEvent | Kept]
NewId = Callable[[str], str]

_BROKEN_OFF: dict[str, MessageIncompleteReason] = {
    "failed": "run_failed",
    "cancelled": "run_cancelled",
    "expired": "run_expired",
}


def broken_step(
    step: RunStep, status: str, now: int, error: RunError | None
) -> list[AssistantStreamEvent]:
    """A step that ends with its run before it was done."""
    if status == "cancelled":
        return [ThreadRunStepCancelled(data=replace(step, status="cancelled", cancelled_at=now))]
    if status == "expired":
        return [ThreadRunStepExpired(data=replace(step, status="expired", expired_at=now))]
    told = None
    if error is not None:
        limited = error.code == "rate_limit_exceeded"
        code: RunStepErrorCode = "rate_limit_exceeded" if limited else "server_error"
        told = RunStepError(code=code, message=error.message)
    failed = replace(step, status="failed", failed_at=now, last_error=told)
    return [ThreadRunStepFailed(data=failed)]


def incomplete_message(message: Message, reason: MessageIncompleteReason, now: int) -> Message:
    """A message that ends early."""
    return replace(
        message,
        status="incomplete",
        incomplete_at=now,
        incomplete_details=MessageIncompleteDetails(reason=reason),
    )


class MessageDraft:
    """A message being written, and its step."""

    def __init__(self, message: Message, step: RunStep, *, is_lost: bool = False) -> None:
        self._message = replace(message, content=[])
        self._left = message if is_lost else None
        """What a lost worker had stored of it, as long as it is not begun again."""
        self._step = step
        self._text: list[str] = []
        self._refusal: list[str] = []
        self._parts: list[str] = []
        """Types of the content parts in the order in which they began."""

    @classmethod
    def new(cls, run: Run, new_id: NewId, now: int) -> MessageDraft:
        """A message that nobody has seen yet."""
        message = Message(
            id=new_id("msg_"),
            created_at=now,
            thread_id=run.thread_id,
            status="in_progress",
            role="assistant",
            assistant_id=run.assistant_id,
            run_id=run.id,
        )
        details = MessageCreationStepDetails(
            message_creation=MessageCreation(message_id=message.id)
        )
        return cls(message, _new_step(run, new_id, now, "message_creation", details))

    def reopened(self) -> Batch:
        """Its first attempt was lost: the message begins again, under the same id."""
        self._left = None
        return [ThreadMessageCreated(data=self._message)]

    def opened(self) -> Batch:
        """Step and message come into being, still empty."""
        return [
            ThreadRunStepCreated(data=self._step),
            ThreadRunStepInProgress(data=self._step),
            ThreadMessageCreated(data=self._message),
            ThreadMessageInProgress(data=self._message),
        ]

    def add_text(self, text: str) -> AssistantStreamEvent:
        """More of the answer."""
        index, is_first = self._part("text")
        self._text.append(text)
        delta = TextDelta(value=text, annotations=[] if is_first else UNSET)
        return self._delta(TextDeltaBlock(index=index, text=delta))

    def add_refusal(self, text: str) -> AssistantStreamEvent:
        """More of why there is no answer."""
        index, _ = self._part("refusal")
        self._refusal.append(text)
        return self._delta(RefusalDeltaBlock(index=index, refusal=text))

    def _part(self, type: str) -> tuple[int, bool]:
        if type in self._parts:
            return self._parts.index(type), False
        self._parts.append(type)
        return len(self._parts) - 1, True

    def _delta(self, block: TextDeltaBlock | RefusalDeltaBlock) -> AssistantStreamEvent:
        delta = MessageDelta(content=[block])
        return ThreadMessageDelta(data=MessageDeltaEvent(id=self._message.id, delta=delta))

    def completed(self, now: int, *, usage: TokenUsage | None) -> Batch:
        """The message is whole."""
        message = replace(self.written(), status="completed", completed_at=now)
        return [ThreadMessageCompleted(data=message), self._step_completed(now, usage)]

    def incomplete(
        self, reason: MessageIncompleteReason, now: int, *, usage: TokenUsage | None
    ) -> Batch:
        """The model stopped early; the step itself is done."""
        message = incomplete_message(self.written(), reason, now)
        return [ThreadMessageIncomplete(data=message), self._step_completed(now, usage)]

    def broken_off(
        self, status: str, now: int, error: RunError | None, *, usage: TokenUsage | None = None
    ) -> Batch:
        """The run ended; what was written stays."""
        step = replace(self._step, usage=usage_of(usage))
        message = incomplete_message(self.written(), _BROKEN_OFF[status], now)
        return [
            *self._told_again(),
            ThreadMessageIncomplete(data=message),
            *broken_step(step, status, now, error),
        ]

    def _told_again(self) -> Batch:
        """What is left of a lost attempt, for listeners who heard more of it than was stored."""
        if self._left is None:
            return []
        created = ThreadMessageCreated(data=self._message)
        if not self._left.content:
            return [created]
        return [created, ThreadMessageDelta(data=delta_of_message(self._left))]

    def written(self) -> Message:
        """The message as far as it is."""
        if self._left is not None:
            return self._left
        parts: dict[str, MessageContent] = {
            "text": TextContentBlock(text=Text(value=_joined(self._text))),
            "refusal": RefusalContentBlock(refusal=_joined(self._refusal)),
        }
        return replace(self._message, content=[parts[type] for type in self._parts])

    def _step_completed(self, now: int, usage: TokenUsage | None) -> AssistantStreamEvent:
        step = replace(self._step, status="completed", completed_at=now, usage=usage_of(usage))
        return ThreadRunStepCompleted(data=step)


def _joined(pieces: list[str]) -> str:
    """The pieces as one text, which takes their place: the next call has only new ones to add."""
    if len(pieces) > 1:
        pieces[:] = ["".join(pieces)]
    return pieces[0] if pieces else ""


class _CallDraft:
    def __init__(self, id: str, name: str) -> None:
        self.id = id
        self.name = name
        self.arguments: list[str] = []
        self.output: str | None = None
        self.is_told = False
        """Whether its id and name were."""
        self.is_whole = False
        self._untold = ""
        self._brackets = Brackets()

    @classmethod
    def of(cls, stored: FunctionToolCall) -> _CallDraft:
        draft = cls(stored.id, stored.function.name)
        draft.arguments.append(stored.function.arguments)
        draft.output = stored.function.output
        draft.is_told = True
        return draft

    def add(self, arguments: str) -> None:
        """More of its arguments."""
        self.arguments.append(arguments)
        self._untold += arguments
        self.is_whole = self.is_whole or self._brackets.end_in(arguments) is not None

    def untold(self, index: int) -> Iterator[FunctionToolCallDelta]:
        """What is to be told of it. Its id and name come once, because clients add strings up.

        And they come without arguments, because clients tell a call's first delta to no handler
        of deltas.
        """
        arguments, self._untold = self._untold, ""
        if not self.is_told:
            self.is_told = True
            function = FunctionCallDelta(name=self.name, arguments="", output=None)
            yield FunctionToolCallDelta(index=index, id=self.id, function=function)
        if arguments:
            function = FunctionCallDelta(arguments=arguments)
            yield FunctionToolCallDelta(index=index, function=function)


def _new_step(
    run: Run, new_id: NewId, now: int, type: RunStepType, details: StepDetails
) -> RunStep:
    return RunStep(
        id=new_id("step_"),
        created_at=now,
        assistant_id=run.assistant_id,
        thread_id=run.thread_id,
        run_id=run.id,
        type=type,
        status="in_progress",
        step_details=details,
    )


class ToolsDraft:
    """One answer's tool calls being written, and their step."""

    def __init__(self, step: RunStep, new_id: NewId) -> None:
        self._new_id = new_id
        self._calls: dict[int, _CallDraft] = {}
        self.is_resumed = False
        """Whether a lost worker had begun it, and nothing was told of it since."""
        self._step = step
        if isinstance(step.step_details, ToolCallsStepDetails):
            for index, stored in enumerate(step.step_details.tool_calls):
                if isinstance(stored, FunctionToolCall):
                    self._calls[index] = _CallDraft.of(stored)

    @classmethod
    def new(cls, run: Run, new_id: NewId, now: int) -> ToolsDraft:
        """A round of calls that nobody has seen yet."""
        step = _new_step(run, new_id, now, "tool_calls", ToolCallsStepDetails())
        return cls(step, new_id)

    def opened(self) -> Batch:
        """The step comes into being, without calls."""
        return [
            ThreadRunStepCreated(data=self._step),
            ThreadRunStepInProgress(data=self._step),
        ]

    def add(self, delta: ToolCallDelta, *, taken: Collection[str] = ()) -> Batch:
        """More of one call, whose id must not be one of those `taken`.

        Calls are told one after the other, whichever way the model interleaves them: so how much
        was told says what was told, and a listener can go on from anywhere.
        """
        call = self._calls.get(delta.index)
        if call is None:
            call = _CallDraft(self._id_of(delta, taken), delta.name or "")
            self._calls[delta.index] = call
        call.add(delta.arguments)
        return self._untold(up_to_open=True)

    def _id_of(self, delta: ToolCallDelta, taken: Collection[str]) -> str:
        """The call's id. Some servers send none, or one that is another call's already."""
        here = (call.id for call in self._calls.values())
        if not delta.id or delta.id in taken or delta.id in here:
            return self._new_id("call_")
        return delta.id

    def rest(self) -> Batch:
        """What was held back of calls that came amid others."""
        return self._untold(up_to_open=False)

    def _untold(self, *, up_to_open: bool) -> Batch:
        events: list[AssistantStreamEvent | Kept] = []
        for index, call in sorted(self._calls.items()):
            events += [self._delta(delta) for delta in call.untold(index)]
            if up_to_open and not call.is_whole:
                break
        return events

    def _delta(self, call: FunctionToolCallDelta) -> AssistantStreamEvent:
        delta = RunStepDelta(step_details=ToolCallsStepDelta(tool_calls=[call]))
        return ThreadRunStepDelta(data=RunStepDeltaEvent(id=self._step.id, delta=delta))

    def calls(self) -> tuple[ToolCall, ...]:
        """The calls, in the order of their indexes."""
        return tuple(
            ToolCall(id=call.id, name=call.name, arguments="".join(call.arguments))
            for _, call in sorted(self._calls.items())
        )

    def outputs(self) -> dict[str, str]:
        """What calls gave so far, by their id."""
        return {call.id: call.output for call in self._calls.values() if call.output is not None}

    def reopened(self) -> Batch:
        """The answer with these calls was lost: the step begins again, under the same id.

        Nothing where that is not so, or was said already.
        """
        if not self.is_lost:
            return []
        self.is_resumed = False
        return [ThreadRunStepCreated(data=self._step)]

    @property
    def is_lost(self) -> bool:
        """Whether nothing is stored of the calls that a lost worker had begun to tell."""
        return self.is_resumed and not self._calls

    def kept(self) -> Batch:
        """Have the calls as they are now stored."""
        return [Kept(data=self.written())]

    def put_output(self, call_id: str, output: str) -> None:
        """Note what a call gave."""
        for call in self._calls.values():
            if call.id == call_id:
                call.output = output

    def put_arguments(self, call_id: str, arguments: str) -> None:
        """Have a call's arguments as they were put right."""
        for call in self._calls.values():
            if call.id == call_id:
                call.arguments = [arguments]

    def note_usage(self, usage: TokenUsage | None) -> None:
        """Note what the answer with these calls cost."""
        self._step = replace(self._step, usage=usage_of(usage))

    def completed(self, now: int) -> Batch:
        """Every call has its output."""
        step = replace(self.written(), status="completed", completed_at=now)
        return [*self.reopened(), ThreadRunStepCompleted(data=step)]

    def broken_off(self, status: str, now: int, error: RunError | None) -> Batch:
        """The run ended before every call had its output."""
        step = self.written()
        return [*self._told_again(), *self.rest(), *broken_step(step, status, now, error)]

    def _told_again(self) -> Batch:
        """What is stored of a lost attempt: how much of it listeners have heard is not known."""
        if not self.is_resumed:
            return []
        self.is_resumed = False
        empty = replace(self._step, step_details=ToolCallsStepDetails())
        created = ThreadRunStepCreated(data=empty)
        delta = delta_of_step(self.written()) if self._calls else None
        if delta is None:
            return [created]
        deltas = (each for each in told_apart(delta) if isinstance(each, RunStepDeltaEvent))
        return [created, *(ThreadRunStepDelta(data=each) for each in deltas)]

    def written(self) -> RunStep:
        """The step with its calls as they are now."""
        calls = [
            FunctionToolCall(
                id=call.id,
                function=FunctionCallWithOutput(
                    name=call.name, arguments="".join(call.arguments), output=call.output
                ),
            )
            for _, call in sorted(self._calls.items())
        ]
        return replace(self._step, step_details=ToolCallsStepDetails(tool_calls=list(calls)))
