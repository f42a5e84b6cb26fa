"""The events of a run's stream, each named as it is on the wire.

In server-sent events the tag is the `event:` line and `data` alone is the `data:` line.
"""

from __future__ import annotations

from typing import Literal, TypeAlias, cast, get_args

from famulus_schemas.deltas import MessageDeltaEvent, RunStepDeltaEvent
from famulus_schemas.messages import Message
from famulus_schemas.runs import Run
from famulus_schemas.steps import RunStep
from famulus_schemas.threads import Thread
from famulus_schemas.wire import Answer

# The order is that of life: of the thread, its run, the run's steps, their messages, the end.
EventName: TypeAlias = Literal[
    "thread.created",
    "thread.run.created",
    "thread.run.queued",
    "thread.run.in_progress",
    "thread.run.requires_action",
    "thread.run.completed",
    "thread.run.incomplete",
    "thread.run.failed",
    "thread.run.cancelling",
    "thread.run.cancelled",
    "thread.run.expired",
    "thread.run.step.created",
    "thread.run.step.in_progress",
    "thread.run.step.delta",
    "thread.run.step.completed",
    "thread.run.step.failed",
    "thread.run.step.cancelled",
    "thread.run.step.expired",
    "thread.message.created",
    "thread.message.in_progress",
    "thread.message.delta",
    "thread.message.completed",
    "thread.message.incomplete",
    "error",
    "done",
]
EVENT_NAMES: tuple[EventName, ...] = get_args(EventName)

# -- threads -------------------------------------------------------------------------------


class ThreadCreated(Answer, frozen=True, kw_only=True, tag_field="event", tag="thread.created"):
    """A thread was made together with its run."""

    data: Thread


ThreadStreamEvent: TypeAlias = ThreadCreated

# -- runs ----------------------------------------------------------------------------------


class ThreadRunCreated(
    Answer, frozen=True, kw_only=True, tag_field="event", tag="thread.run.created"
):
    """A run was made."""

    data: Run


class ThreadRunQueued(
    Answer, frozen=True, kw_only=True, tag_field="event", tag="thread.run.queued"
):
    """A run waits for its turn."""

    data: Run


class ThreadRunInProgress(
    Answer, frozen=True, kw_only=True, tag_field="event", tag="thread.run.in_progress"
):
    """A run is at work."""

    data: Run


class ThreadRunRequiresAction(
    Answer, frozen=True, kw_only=True, tag_field="event", tag="thread.run.requires_action"
):
    """A run waits for the caller's functions; the stream ends."""

    data: Run


class ThreadRunCompleted(
    Answer, frozen=True, kw_only=True, tag_field="event", tag="thread.run.completed"
):
    """A run is done."""

    data: Run


class ThreadRunIncomplete(
    Answer, frozen=True, kw_only=True, tag_field="event", tag="thread.run.incomplete"
):
    """A run ended at one of its budgets."""

    data: Run


class ThreadRunFailed(
    Answer, frozen=True, kw_only=True, tag_field="event", tag="thread.run.failed"
):
    """A run failed; `last_error` says why."""

    data: Run


class ThreadRunCancelling(
    Answer, frozen=True, kw_only=True, tag_field="event", tag="thread.run.cancelling"
):
    """A run is being stopped."""

    data: Run


class ThreadRunCancelled(
    Answer, frozen=True, kw_only=True, tag_field="event", tag="thread.run.cancelled"
):
    """A run was stopped."""

    data: Run


class ThreadRunExpired(
    Answer, frozen=True, kw_only=True, tag_field="event", tag="thread.run.expired"
):
    """A run ran out of time."""

    data: Run


RunStreamEvent: TypeAlias = (
    ThreadRunCreated
    | ThreadRunQueued
    | ThreadRunInProgress
    | ThreadRunRequiresAction
    | ThreadRunCompleted
    | ThreadRunIncomplete
    | ThreadRunFailed
    | ThreadRunCancelling
    | ThreadRunCancelled
    | ThreadRunExpired
)

# -- steps ---------------------------------------------------------------------------------


class ThreadRunStepCreated(
    Answer, frozen=True, kw_only=True, tag_field="event", tag="thread.run.step.created"
):
    """A step was begun."""

    data: RunStep


class ThreadRunStepInProgress(
    Answer, frozen=True, kw_only=True, tag_field="event", tag="thread.run.step.in_progress"
):
    """A step is at work."""

    data: RunStep


class ThreadRunStepDelta(
    Answer, frozen=True, kw_only=True, tag_field="event", tag="thread.run.step.delta"
):
    """A step grew."""

    data: RunStepDeltaEvent


class ThreadRunStepCompleted(
    Answer, frozen=True, kw_only=True, tag_field="event", tag="thread.run.step.completed"
):
    """A step is done."""

    data: RunStep


class ThreadRunStepFailed(
    Answer, frozen=True, kw_only=True, tag_field="event", tag="thread.run.step.failed"
):
    """A step failed; `last_error` says why."""

    data: RunStep


class ThreadRunStepCancelled(
    Answer, frozen=True, kw_only=True, tag_field="event", tag="thread.run.step.cancelled"
):
    """A step was stopped with its run."""

    data: RunStep


class ThreadRunStepExpired(
    Answer, frozen=True, kw_only=True, tag_field="event", tag="thread.run.step.expired"
):
    """A step ran out of time with its run."""

    data: RunStep


RunStepStreamEvent: TypeAlias = (
    ThreadRunStepCreated
    | ThreadRunStepInProgress
    | ThreadRunStepDelta
    | ThreadRunStepCompleted
    | ThreadRunStepFailed
    | ThreadRunStepCancelled
    | ThreadRunStepExpired
)

# -- messages ------------------------------------------------------------------------------


class ThreadMessageCreated(
    Answer, frozen=True, kw_only=True, tag_field="event", tag="thread.message.created"
):
    """A message was begun; its content is still empty."""

    data: Message


class ThreadMessageInProgress(
    Answer, frozen=True, kw_only=True, tag_field="event", tag="thread.message.in_progress"
):
    """A message is being written."""

    data: Message


class ThreadMessageDelta(
    Answer, frozen=True, kw_only=True, tag_field="event", tag="thread.message.delta"
):
    """A message grew."""

    data: MessageDeltaEvent


class ThreadMessageCompleted(
    Answer, frozen=True, kw_only=True, tag_field="event", tag="thread.message.completed"
):
    """A message is done."""

    data: Message


class ThreadMessageIncomplete(
    Answer, frozen=True, kw_only=True, tag_field="event", tag="thread.message.incomplete"
):
    """A message ended early."""

    data: Message


MessageStreamEvent: TypeAlias = (
    ThreadMessageCreated
    | ThreadMessageInProgress
    | ThreadMessageDelta
    | ThreadMessageCompleted
    | ThreadMessageIncomplete
)

# -- the end -------------------------------------------------------------------------------


class StreamFault(Answer, frozen=True, kw_only=True):
    """What went wrong, in the four keys that every error has."""

    message: str
    type: str
    param: str | None = None
    code: str | None = None


class StreamFaultData(Answer, frozen=True, kw_only=True):
    """The fault told twice: flat as the contract says, and nested, where the SDKs look."""

    message: str
    type: str
    param: str | None = None
    code: str | None = None
    error: StreamFault


class ErrorEvent(Answer, frozen=True, kw_only=True, tag_field="event", tag="error"):
    """The stream broke; nothing but `done` follows."""

    data: StreamFaultData


class DoneEvent(Answer, frozen=True, kw_only=True, tag_field="event", tag="done"):
    """The stream is over. Its data is sent as it stands, without quotes."""

    data: Literal["[DONE]"] = "[DONE]"


AssistantStreamEvent: TypeAlias = (
    ThreadStreamEvent
    | RunStreamEvent
    | RunStepStreamEvent
    | MessageStreamEvent
    | ErrorEvent
    | DoneEvent
)


def name_of(event: AssistantStreamEvent) -> EventName:
    """Name an event as its `event:` line does."""
    return cast(EventName, event.__struct_config__.tag)


def error_event(
    *, message: str, type: str, param: str | None = None, code: str | None = None
) -> ErrorEvent:
    """Tell a fault in both of the places where clients look for it."""
    fault = StreamFault(message=message, type=type, param=param, code=code)
    return ErrorEvent(
        data=StreamFaultData(message=message, type=type, param=param, code=code, error=fault)
    )
