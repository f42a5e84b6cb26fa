"""What a run, its steps and its messages must say of each other whenever the run is at rest."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from famulus_schemas.messages import Message
from famulus_schemas.runs import Run, RunUsage
from famulus_schemas.steps import FunctionToolCall, RunStep, ToolCallsStepDetails

Complaint = tuple[str, object]

_TIMES = {
    "completed": "completed_at",
    "failed": "failed_at",
    "cancelled": "cancelled_at",
}
"""Which of its times a run has by its status; each has only that one."""

_STEP_TIMES = {**_TIMES, "expired": "expired_at"}

_STEPS = {
    "completed": {"completed"},
    "incomplete": {"completed", "failed"},
    "failed": {"completed", "failed"},
    "cancelled": {"completed", "cancelled"},
    "expired": {"completed", "expired"},
    "requires_action": {"completed", "in_progress"},
}
"""How the steps of a run may stand, by how it stands itself."""

_REASONS = {"failed": "run_failed", "cancelled": "run_cancelled", "expired": "run_expired"}


def complaints(
    run: Run, steps: Sequence[RunStep], messages: Sequence[Message], *, now: float, skew_s: float
) -> Iterator[Complaint]:
    """Everything in which they do not agree. Clocks differ by no more than `skew_s`."""
    yield from _of_run(run)
    yield from _of_usage(run, steps)
    for step in steps:
        yield from _of_step(run, step)
    for message in messages:
        yield from _of_message(run, message)
    yield from _of_calls(run, steps)
    things = (run, *steps, *messages)
    yield from (one for thing in things for one in _of_time(run, thing, now, skew_s))


def _of_run(run: Run) -> Iterator[Complaint]:
    wanted = _TIMES.get(run.status)
    for time in _TIMES.values():
        if (getattr(run, time) is not None) != (time == wanted):
            yield "a run has the time of its end, and no other", (run.id, run.status, time)
    is_over = run.status != "requires_action"
    if is_over != (run.expires_at is None) or is_over != (run.required_action is None):
        yield "only a run that is not over can expire, or asks for something", (run.id, run.status)
    if (run.last_error is not None) != (run.status == "failed") and run.status != "expired":
        yield "a run that failed says why", (run.id, run.status, run.last_error)
    if run.incomplete_details is not None and run.status != "incomplete":
        yield "only an incomplete run says what was lacking", (run.id, run.status)


def _of_usage(run: Run, steps: Sequence[RunStep]) -> Iterator[Complaint]:
    if run.usage is None:
        yield "a run at rest says what it used", (run.id, run.status)
        return
    spent = RunUsage(
        prompt_tokens=sum(step.usage.prompt_tokens for step in steps if step.usage),
        completion_tokens=sum(step.usage.completion_tokens for step in steps if step.usage),
        total_tokens=sum(step.usage.total_tokens for step in steps if step.usage),
    )
    is_all_told = run.status in ("completed", "requires_action")
    # What was answered as the run ended otherwise may have no step to show for it.
    if run.usage != spent and (is_all_told or run.usage.total_tokens < spent.total_tokens):
        yield "a run used what its steps did", (run.id, run.status, run.usage, spent)


def _of_step(run: Run, step: RunStep) -> Iterator[Complaint]:
    if step.status not in _STEPS[run.status]:
        yield "a step ends as its run does", (run.id, run.status, step.id, step.status)
    wanted = _STEP_TIMES.get(step.status)
    for time in _STEP_TIMES.values():
        if (getattr(step, time) is not None) != (time == wanted):
            yield "a step has the time of its end, and no other", (step.id, step.status, time)
    if (step.last_error is not None) != (step.status == "failed"):
        yield "a step that failed says why", (step.id, step.status, step.last_error)
    if (step.thread_id, step.assistant_id) != (run.thread_id, run.assistant_id):
        yield "a step is of its run's thread and assistant", (run.id, step.id)


def _of_message(run: Run, message: Message) -> Iterator[Complaint]:
    is_whole = message.status == "completed"
    is_broken = message.status == "incomplete"
    times = (message.completed_at is not None, message.incomplete_at is not None)
    if times != (is_whole, is_broken) or is_broken != (message.incomplete_details is not None):
        yield "a message has the time of its end, and no other", (message.id, message.status)
    reason = message.incomplete_details.reason if message.incomplete_details else None
    if reason in _REASONS.values() and reason != _REASONS.get(run.status):
        yield "a message is broken off as its run is", (run.id, run.status, message.id, reason)
    if (message.thread_id, message.assistant_id) != (run.thread_id, run.assistant_id):
        yield "a message is of its run's thread and assistant", (run.id, message.id)


def _of_calls(run: Run, steps: Sequence[RunStep]) -> Iterator[Complaint]:
    """A client is asked for just what is missing."""
    missing = [
        call.id
        for step in steps
        if step.status == "in_progress" and isinstance(step.step_details, ToolCallsStepDetails)
        for call in step.step_details.tool_calls
        if isinstance(call, FunctionToolCall) and call.function.output is None
    ]
    asked: list[str] = []
    if run.required_action is not None:
        asked = [call.id for call in run.required_action.submit_tool_outputs.tool_calls]
    if sorted(asked) != sorted(missing):
        yield "a client is asked for just what is missing", (run.id, asked, missing)


def _of_time(
    run: Run, thing: Run | RunStep | Message, now: float, skew_s: float
) -> Iterator[Complaint]:
    names = ("started_at", "incomplete_at", *_STEP_TIMES.values())
    for name in ("created_at", *names):
        time = getattr(thing, name, None)
        # Times are whole seconds, rounded down.
        if time is not None and not run.created_at - skew_s - 1 <= time <= now + skew_s:
            yield "times lie between the run's beginning and now", (thing.id, name, time)
