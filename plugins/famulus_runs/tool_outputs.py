"""A client's tool outputs: taken all at once, exactly once, and the run goes on."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from famulus_runs.call_drafts import Forms
from famulus_runs.kinds import (
    STEP_SHAPE,
    KeptCall,
    decode_step,
    encode,
    extra_with,
    run_index,
    step_body,
    step_extra,
    step_index,
)
from famulus_runs.tools_draft import ToolsDraft
from famulus_schemas.errors import INVALID, NOT_ACCEPTING_OUTPUTS, WRONG_OUTPUTS, Problem
from famulus_schemas.events import (
    AssistantStreamEvent,
    ThreadRunQueued,
    ThreadRunStepCompleted,
)
from famulus_schemas.records import Record, Replace, Write
from famulus_schemas.runs import Run, ToolOutput
from famulus_schemas.steps import RunStep


def check_outputs(run: Run, outputs: Sequence[ToolOutput]) -> dict[str, str]:
    """Outputs by the id of their call. Raises Problem unless the run waits for just these."""
    if run.status != "requires_action" or run.required_action is None:
        raise Problem(NOT_ACCEPTING_OUTPUTS, status=run.status)
    expected = [call.id for call in run.required_action.submit_tool_outputs.tool_calls]
    got = [output.tool_call_id for output in outputs]
    if len(set(got)) < len(got):
        reason = "each call takes exactly one output."
        raise Problem(INVALID, param="tool_outputs", name="tool_outputs", reason=reason)
    if set(got) != set(expected):
        raise Problem(WRONG_OUTPUTS, param="tool_outputs", expected=expected, got=got)
    return {output.tool_call_id: output.output for output in outputs}


def resumed(run: Run) -> Run:
    """The run, queued again; it expires when it would have, and tells its usage when it rests."""
    return replace(run, status="queued", required_action=None, usage=None)


def with_outputs(
    record: Record, outputs: dict[str, str], now: int, *, with_contents: bool
) -> tuple[RunStep, tuple[KeptCall, ...]]:
    """The step with every call's output, as listeners are told it; and what is kept beside it."""
    forms = Forms(with_contents=with_contents)
    draft = ToolsDraft(
        decode_step(record.body), lambda prefix: prefix, forms=forms, kept=step_extra(record).calls
    )
    for call_id, output in outputs.items():
        draft.put_output(call_id, output)
    *_, completed = draft.completed(now)
    assert isinstance(completed, ThreadRunStepCompleted)
    return completed.data, draft.kept_now().calls


def events_of(step: RunStep, run: Run) -> list[AssistantStreamEvent]:
    """What listeners are told of it."""
    return [ThreadRunStepCompleted(data=step), ThreadRunQueued(data=run)]


def writes_of(
    record: Record,
    run: Run,
    step_record: Record,
    step: RunStep,
    calls: tuple[KeptCall, ...],
) -> list[Write]:
    """Run and step as they were read, replaced: of two who submit at once, one is refused."""
    return [
        Replace(
            kind="step",
            id=step.id,
            version=step_record.version,
            body=step_body(step),
            extra=extra_with(step_record, step, calls),
            shape=STEP_SHAPE if calls else None,
            index=step_index(step),
        ),
        Replace(
            kind="run",
            id=run.id,
            version=record.version,
            body=encode(run),
            index=run_index(run),
        ),
    ]
