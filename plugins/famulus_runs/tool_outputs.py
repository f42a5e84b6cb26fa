"""A client's tool outputs: taken all at once, exactly once, and the run goes on."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from famulus_runs.drafts import ToolsDraft
from famulus_runs.kinds import encode, run_index, step_index
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


def with_outputs(step: RunStep, outputs: dict[str, str], now: int) -> RunStep:
    """The step with every call's output."""
    draft = ToolsDraft(step, lambda prefix: prefix)
    for call_id, output in outputs.items():
        draft.put_output(call_id, output)
    return replace(draft.written(), status="completed", completed_at=now)


def events_of(step: RunStep, run: Run) -> list[AssistantStreamEvent]:
    """What listeners are told of it."""
    return [ThreadRunStepCompleted(data=step), ThreadRunQueued(data=run)]


def writes_of(record: Record, run: Run, step_record: Record, step: RunStep) -> list[Write]:
    """Run and step as they were read, replaced: of two who submit at once, one is refused."""
    return [
        Replace(
            kind="step",
            id=step.id,
            version=step_record.version,
            body=encode(step),
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
