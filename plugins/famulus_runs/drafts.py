"""A message that a run is writing, with the step that it belongs to; and what all drafts share."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec
from msgspec import UNSET, UnsetType
from msgspec.structs import replace

from famulus_runs.citing import Cite, Citing
from famulus_runs.cuts import delta_of_image, delta_of_message, told_apart
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
    ThreadRunStepExpired,
    ThreadRunStepFailed,
    ThreadRunStepInProgress,
)
from famulus_schemas.inference import TokenUsage
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
    MessageCreation,
    MessageCreationStepDetails,
    RunStep,
    RunStepError,
    RunStepErrorCode,
    RunStepType,
    StepDetails,
)
from famulus_schemas.tooling import Mark


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
        cite: Cite | None = None,
        is_data: bool = False,
    ) -> None:
        self._message = replace(message, content=[])
        self._left = message if is_lost else None
        """What a lost worker had stored of it, as long as it is not begun again."""
        self._step = step
        self._content = list(content)
        """The parts with which it begins."""
        self._marks = marks
        self.cite_by(cite, is_data=is_data)
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
        cite: Cite | None = None,
        is_data: bool = False,
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
        step = new_step(run, new_id, now, "message_creation", details)
        return cls(message, step, marks=marks, content=content, cite=cite, is_data=is_data)

    def cite_by(self, cite: Cite | None, *, is_data: bool) -> None:
        """Have this cite what the model does not, before anything is written; never in data,
        such as JSON, in which nothing is to be written but what the model writes.
        """
        self._scan = MarkScan(self._marks, is_strict=is_data)
        self._citing = Citing(None if is_data else cite)

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
        return self._told(self._citing.feed(self._scan.feed(text)))

    def add_refusal(self, text: str) -> Batch:
        """More of why there is no answer."""
        held = self._rest()
        index, _ = self._part("refusal")
        self._refusal.append(text)
        return [*held, self._delta(RefusalDeltaBlock(index=index, refusal=text))]

    def _rest(self, *, is_whole: bool = True) -> Batch:
        """What is held back at the end of the text, which may be cut off."""
        pieces = [
            *self._citing.feed(self._scan.end()),
            *self._citing.end(is_whole=is_whole),
        ]
        return self._told(pieces)

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
        held = self._rest()
        message = replace(self.written(), status="completed", completed_at=now)
        return [*held, ThreadMessageCompleted(data=message), self._step_completed(now, usage)]

    def incomplete(
        self, reason: MessageIncompleteReason, now: int, *, usage: TokenUsage | None
    ) -> Batch:
        """The model stopped early; the step itself is done."""
        held = self._rest(is_whole=False)
        message = incomplete_message(self.written(), reason, now)
        return [*held, ThreadMessageIncomplete(data=message), self._step_completed(now, usage)]

    def broken_off(
        self, status: str, now: int, error: RunError | None, *, usage: TokenUsage | None = None
    ) -> Batch:
        """The run ended; what was written stays."""
        step = replace(self._step, usage=usage_of(usage))
        held = self._rest(is_whole=False)
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
        parts = told_apart(delta_of_message(self._left))
        told = [part for part in parts if isinstance(part, MessageDeltaEvent)]
        return [created, *(ThreadMessageDelta(data=part) for part in told)]

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


def new_step(run: Run, new_id: NewId, now: int, type: RunStepType, details: StepDetails) -> RunStep:
    """A step that nobody has seen yet."""
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
