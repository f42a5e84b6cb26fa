"""What a run is writing: a message or a round of tool calls, with the step that it belongs to."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Literal

import msgspec
from msgspec import UNSET, UnsetType
from msgspec.structs import replace

from famulus_runs.call_cuts import apart
from famulus_runs.call_drafts import CallDraft, Forms, draft_of_kept, draft_of_shown, new_draft
from famulus_runs.contents import without_contents
from famulus_runs.cuts import delta_of_calls, delta_of_image, delta_of_message
from famulus_runs.kinds import KeptCall
from famulus_runs.marks import MarkScan, Piece, annotation_delta, annotation_of
from famulus_runs.usage import usage_of
from famulus_schemas.deltas import (
    AnnotationDelta,
    MessageContentDelta,
    MessageDelta,
    MessageDeltaEvent,
    RefusalDeltaBlock,
    TextDelta,
    TextDeltaBlock,
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
    Annotation,
    ImageFileContentBlock,
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
from famulus_schemas.tooling import Mark, ToolCall, ToolOutput


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """A step that must be stored as it now is, although no event tells of it."""

    data: RunStep
    calls: tuple[KeptCall, ...] = ()
    """What is kept beside the step; empty where the step says all."""


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

    def __init__(
        self,
        message: Message,
        step: RunStep,
        *,
        marks: Sequence[Mark] = (),
        content: Sequence[ImageFileContentBlock] = (),
        is_lost: bool = False,
    ) -> None:
        self._message = replace(message, content=[])
        self._left = message if is_lost else None
        """What a lost worker had stored of it, as long as it is not begun again."""
        self._step = step
        self._content = list(content)
        """The parts with which it begins."""
        self._scan = MarkScan(marks)
        self._text: list[str] = []
        self._text_size = 0
        self._annotations: list[Annotation] = []
        self._refusal: list[str] = []
        self._parts: list[str] = ["image_file"] * len(self._content)
        """Types of the content parts in the order in which they began."""

    @classmethod
    def new(
        cls,
        run: Run,
        new_id: NewId,
        now: int,
        *,
        marks: Sequence[Mark] = (),
        content: Sequence[ImageFileContentBlock] = (),
    ) -> MessageDraft:
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
        step = _new_step(run, new_id, now, "message_creation", details)
        return cls(message, step, marks=marks, content=content)

    def reopened(self) -> Batch:
        """Its first attempt was lost: the message begins again, under the same id."""
        self._left = None
        return [ThreadMessageCreated(data=self._message), *self._begun()]

    def opened(self) -> Batch:
        """Step and message come into being, still empty."""
        return [
            ThreadRunStepCreated(data=self._step),
            ThreadRunStepInProgress(data=self._step),
            ThreadMessageCreated(data=self._message),
            ThreadMessageInProgress(data=self._message),
            *self._begun(),
        ]

    def _begun(self) -> Batch:
        """What it begins with, whatever the model says."""
        return [self._delta(delta_of_image(part, at)) for at, part in enumerate(self._content)]

    def add_text(self, text: str) -> Batch:
        """More of the answer, as far as it is certain what is a mark."""
        return self._told(self._scan.feed(text))

    def add_refusal(self, text: str) -> Batch:
        """More of why there is no answer."""
        held = self._told(self._scan.end())
        index, _ = self._part("refusal")
        self._refusal.append(text)
        return [*held, self._delta(RefusalDeltaBlock(index=index, refusal=text))]

    def _told(self, pieces: Sequence[Piece]) -> Batch:
        """A delta for each piece: an annotation is told with the text at whose end it stands."""
        events: list[AssistantStreamEvent | Kept] = []
        for piece in pieces:
            text, marked = piece.text, ""
            if piece.mark is not None:
                marked = piece.mark.shown or piece.mark.text
            if not text and not marked:
                continue
            index, is_first = self._part("text")
            annotations: list[AnnotationDelta] | UnsetType = [] if is_first else UNSET
            if piece.mark is not None:
                annotation = annotation_of(piece.mark, self._text_size + len(text))
                annotations = [annotation_delta(annotation, len(self._annotations))]
                self._annotations.append(annotation)
            self._text.append(text + marked)
            self._text_size += len(text) + len(marked)
            delta = TextDelta(value=text + marked, annotations=annotations)
            events.append(self._delta(TextDeltaBlock(index=index, text=delta)))
        return events

    def _part(self, type: str) -> tuple[int, bool]:
        if type in self._parts:
            return self._parts.index(type), False
        self._parts.append(type)
        return len(self._parts) - 1, True

    def _delta(self, block: MessageContentDelta) -> AssistantStreamEvent:
        delta = MessageDelta(content=[block])
        return ThreadMessageDelta(data=MessageDeltaEvent(id=self._message.id, delta=delta))

    def completed(self, now: int, *, usage: TokenUsage | None) -> Batch:
        """The message is whole."""
        held = self._told(self._scan.end())
        message = replace(self.written(), status="completed", completed_at=now)
        return [*held, ThreadMessageCompleted(data=message), self._step_completed(now, usage)]

    def incomplete(
        self, reason: MessageIncompleteReason, now: int, *, usage: TokenUsage | None
    ) -> Batch:
        """The model stopped early; the step itself is done."""
        held = self._told(self._scan.end())
        message = incomplete_message(self.written(), reason, now)
        return [*held, ThreadMessageIncomplete(data=message), self._step_completed(now, usage)]

    def broken_off(
        self, status: str, now: int, error: RunError | None, *, usage: TokenUsage | None = None
    ) -> Batch:
        """The run ended; what was written stays."""
        step = replace(self._step, usage=usage_of(usage))
        held = self._told(self._scan.end())
        message = incomplete_message(self.written(), _BROKEN_OFF[status], now)
        return [
            *self._told_again(),
            *held,
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
        text = Text(value=_joined(self._text), annotations=list(self._annotations))
        parts: dict[str, MessageContent] = {
            "text": TextContentBlock(text=text),
            "refusal": RefusalContentBlock(refusal=_joined(self._refusal)),
        }
        written = [parts[type] for type in self._parts[len(self._content) :]]
        return replace(self._message, content=[*self._content, *written])

    def _step_completed(self, now: int, usage: TokenUsage | None) -> AssistantStreamEvent:
        step = replace(self._step, status="completed", completed_at=now, usage=usage_of(usage))
        return ThreadRunStepCompleted(data=step)


def _joined(pieces: list[str]) -> str:
    """The pieces as one text, which takes their place: the next call has only new ones to add."""
    if len(pieces) > 1:
        pieces[:] = ["".join(pieces)]
    return pieces[0] if pieces else ""


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
    """One answer's tool calls being written, and their step.

    Calls are told one after the other: each once those before it are whole, and once they are
    done, where what they give is told as well. So how much was told says what was told, and a
    listener can go on from anywhere. The step shows the calls that were told.
    """

    def __init__(
        self,
        step: RunStep,
        new_id: NewId,
        *,
        forms: Forms | None = None,
        kept: Sequence[KeptCall] = (),
    ) -> None:
        self._new_id = new_id
        self._forms = forms or Forms()
        self._calls: dict[int, CallDraft] = {}
        self.is_resumed = False
        """Whether a lost worker had begun it, and nothing was told of it since."""
        self._step = step
        for index, one in enumerate(kept):
            self._calls[index] = draft_of_kept(one, self._forms)
        if not kept and isinstance(step.step_details, ToolCallsStepDetails):
            for index, stored in enumerate(step.step_details.tool_calls):
                if isinstance(stored, FunctionToolCall):
                    self._calls[index] = draft_of_shown(stored)

    @classmethod
    def new(cls, run: Run, new_id: NewId, now: int, forms: Forms) -> ToolsDraft:
        """A round of calls that nobody has seen yet."""
        step = _new_step(run, new_id, now, "tool_calls", ToolCallsStepDetails())
        return cls(step, new_id, forms=forms)

    def opened(self) -> Batch:
        """The step comes into being, without calls."""
        return [
            ThreadRunStepCreated(data=self._step),
            ThreadRunStepInProgress(data=self._step),
        ]

    # --- what the model writes ----------------------------------------------------------------

    def add(self, delta: ToolCallDelta, *, taken: Collection[str] = ()) -> Batch:
        """More of one call, whose id must not be one of those `taken`."""
        call = self._calls.get(delta.index)
        if call is None:
            call = new_draft(self._id_of(delta, taken), delta.name or "", self._forms)
            self._calls[delta.index] = call
        call.add(delta.arguments)
        return self._untold("whole")

    def _id_of(self, delta: ToolCallDelta, taken: Collection[str]) -> str:
        """The call's id. Some servers send none, or one that is another call's already."""
        here = (call.id for call in self._calls.values())
        if not delta.id or delta.id in taken or delta.id in here:
            return self._new_id("call_")
        return delta.id

    def rest(self) -> Batch:
        """What was held back of calls that came amid others."""
        return self._untold("done")

    def asked(self) -> Batch:
        """The model has written all of its calls; what was held back of them."""
        for call in self._calls.values():
            call.end()
        return self.rest()

    def _untold(self, first_to: Literal["whole", "done", "end"]) -> Batch:
        """What is to be told now, up to the first call that is to be that before those after it."""
        events: list[AssistantStreamEvent | Kept] = []
        for index, call in sorted(self._calls.items()):
            if (delta := call.untold(index)) is not None:
                parts = [delta_of_calls(self._step.id, [part]) for part in apart(delta)]
                events += [ThreadRunStepDelta(data=part) for part in parts]
            if first_to == "end":
                continue
            if call.tells_outputs and call.output is None:
                break
            if first_to == "whole" and not call.is_whole:
                break
        return events

    def calls(self) -> tuple[ToolCall, ...]:
        """The calls, in the order of their indexes."""
        return tuple(call.call() for _, call in sorted(self._calls.items()))

    def put_arguments(self, call_id: str, arguments: str) -> None:
        """Have a call's arguments as they were put right."""
        self._of(call_id).put_arguments(arguments)

    def note_usage(self, usage: TokenUsage | None) -> None:
        """Note what the answer with these calls cost."""
        self._step = replace(self._step, usage=usage_of(usage))

    # --- what the calls give ------------------------------------------------------------------

    def outputs(self) -> dict[str, str]:
        """What calls gave so far, by their id."""
        return {call.id: call.output for call in self._calls.values() if call.output is not None}

    def put_progress(self, call_id: str, output: ToolOutput) -> None:
        """Note what a call gave so far."""
        self._of(call_id).put_progress(output)

    def put_output(self, call_id: str, output: str) -> None:
        """Note what a call gave."""
        self._of(call_id).put_result(ToolOutput(text=output))

    def put_result(self, call_id: str, output: ToolOutput) -> None:
        """Note all that a call gave."""
        self._of(call_id).put_result(output)

    def begin_again(self, call_id: str) -> None:
        """A call is to be run again."""
        self._of(call_id).begin_again()

    def marks(self) -> list[Mark]:
        """By which the model can refer to what its calls gave."""
        return [mark for _, call in sorted(self._calls.items()) for mark in call.marks]

    def content(self) -> list[ImageFileContentBlock]:
        """With what the next message begins because of them."""
        return [part for _, call in sorted(self._calls.items()) for part in call.content]

    def _of(self, call_id: str) -> CallDraft:
        return next(call for call in self._calls.values() if call.id == call_id)

    # --- where a worker was lost --------------------------------------------------------------

    @property
    def is_lost(self) -> bool:
        """Whether nothing is stored of the calls that a lost worker had begun to tell."""
        return self.is_resumed and not self._calls

    @property
    def is_being_told(self) -> bool:
        """Whether a call that tells what it gives has not given all of it."""
        return any(call.tells_outputs and call.output is None for call in self._calls.values())

    @property
    def is_half_told(self) -> bool:
        """Whether a lost worker may have told more than is stored, of what its calls gave."""
        return self.is_resumed and self.is_being_told

    def reopened(self) -> Batch:
        """The answer with these calls was lost: the step begins again, under the same id.

        Nothing where that is not so, or was said already.
        """
        if not self.is_lost:
            return []
        self.is_resumed = False
        return [ThreadRunStepCreated(data=self._step)]

    def told_anew(self) -> Batch:
        """The step begins again, with all that is stored of its calls."""
        return [self._created_anew(), *self.rest()]

    def _created_anew(self) -> AssistantStreamEvent:
        self.is_resumed = False
        for call in self._calls.values():
            call.forget_told()
        return ThreadRunStepCreated(data=replace(self._step, step_details=ToolCallsStepDetails()))

    # --- as the step is -----------------------------------------------------------------------

    def kept(self) -> Batch:
        """Have the calls as they are now stored."""
        return [self.kept_now()]

    def kept_now(self) -> Kept:
        """The calls as they are now, to be stored."""
        return Kept(data=without_contents(self.written()), calls=self._kept_calls())

    def _kept_calls(self) -> tuple[KeptCall, ...]:
        if not any(call.is_kept for call in self._calls.values()):
            return ()
        return tuple(call.kept() for _, call in sorted(self._calls.items()))

    def _kept_beside(self) -> Batch:
        """What is to be stored with an event that tells the step."""
        return self.kept() if any(call.is_kept for call in self._calls.values()) else []

    def completed(self, now: int) -> Batch:
        """Every call has its output."""
        told = [*self.reopened(), *self._untold("end")]
        step = replace(self._shown(), status="completed", completed_at=now)
        return [*told, *self._kept_beside(), ThreadRunStepCompleted(data=step)]

    def broken_off(self, status: str, now: int, error: RunError | None) -> Batch:
        """The run ended before every call had its output."""
        for call in self._calls.values():
            call.end()
        told: list[AssistantStreamEvent | Kept] = []
        if self.is_resumed:
            # How much of what is stored listeners have heard is not known.
            told.append(self._created_anew())
        told += self._untold("end")
        return [*told, *self._kept_beside(), *broken_step(self._shown(), status, now, error)]

    def _shown(self) -> RunStep:
        """The step as events tell it."""
        step = self.written()
        return step if self._forms.with_contents else without_contents(step)

    def written(self) -> RunStep:
        """The step with its calls as they are now, in whole."""
        calls = [call.shown() for _, call in sorted(self._calls.items()) if call.is_told]
        return replace(self._step, step_details=ToolCallsStepDetails(tool_calls=calls))
