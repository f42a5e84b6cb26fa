"""What a run uses, on its way into the commit of what it was used for."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from famulus_runs.drafts import Kept
from famulus_runs.kinds import ENDS, RunExtra
from famulus_schemas.errors import Problem
from famulus_schemas.inference import TokenUsage
from famulus_schemas.messages import Message
from famulus_schemas.records import Unit
from famulus_schemas.runs import Run, RunError
from famulus_schemas.steps import (
    CodeInterpreterToolCall,
    FileSearchToolCall,
    RunStep,
    ToolCallsStepDetails,
)
from famulus_schemas.usage import Meter, Used, What

Stored = Run | RunStep | Message | Kept

OVER_BUDGET = 429


class Tab:
    """One run's account, where there is somebody who keeps one.

    What the model used is written with the step that tells it, or with the run's end: so the sum of
    what is written is the run's own `usage`, whichever processes worked on it.
    """

    def __init__(
        self,
        meter: Meter | None,
        project: str,
        run: Run,
        extra: RunExtra,
        now: Callable[[], int],
    ) -> None:
        self._meter = meter
        self._project = project
        self._run = run
        self._extra = extra
        self._now = now
        self._open: list[TokenUsage] = []
        self._closing: list[Used] = []
        self._has_code = False

    def charge(self, tokens: TokenUsage) -> None:
        """A model's answer used so much."""
        if self._meter is not None:
            self._open.append(tokens)

    async def refusal(self) -> RunError | None:
        """Why nothing more may be used, such as a budget that is spent."""
        if self._meter is None:
            return None
        try:
            await self._meter.refuse(self._project, self._extra.key)
        except Problem as problem:
            if problem.status == OVER_BUDGET:
                return RunError(code="rate_limit_exceeded", message=problem.body.message)
            return RunError(code="server_error", message=problem.body.message)
        return None

    async def writes(self, objects: Sequence[Stored]) -> Unit:
        """What belongs into the commit of these."""
        if self._meter is None:
            return ()
        self._closing = [*self._answers(objects), *self._calls(objects)]
        return await self._meter.writes(self._closing) if self._closing else ()

    def written(self) -> None:
        """The last writes were committed."""
        if self._meter is None or not self._closing:
            return
        closed, self._closing = self._closing, []
        if any(used.what == "completions" for used in closed):
            self._open = []
        self._has_code |= any(used.what == "code_interpreter_sessions" for used in closed)
        self._meter.written(closed)

    def _answers(self, objects: Sequence[Stored]) -> list[Used]:
        steps = [step for step in map(_step, objects) if step is not None and step.usage]
        is_over = any(isinstance(one, Run) and one.status in ENDS for one in objects)
        if not self._open or not (steps or is_over):
            return []
        step = steps[-1].id if steps else ""
        return [self._used("completions", step, tokens=tokens) for tokens in self._open]

    def _calls(self, objects: Sequence[Stored]) -> list[Used]:
        found = []
        for step in map(_step, objects):
            if step is None or step.status != "completed":
                continue
            if not isinstance(step.step_details, ToolCallsStepDetails):
                continue
            calls = step.step_details.tool_calls
            searches = sum(isinstance(call, FileSearchToolCall) for call in calls)
            if searches:
                found.append(self._used("file_searches", step.id, requests=searches))
            ran_code = any(isinstance(call, CodeInterpreterToolCall) for call in calls)
            if ran_code and not self._has_code:
                found.append(self._used("code_interpreter_sessions", step.id))
        return found

    def _used(
        self, what: What, step: str, *, requests: int = 1, tokens: TokenUsage | None = None
    ) -> Used:
        run = self._run
        return Used(
            at=self._now(),
            what=what,
            project=self._project,
            principal=self._extra.principal,
            key=self._extra.key,
            model=run.model,
            served_by=tokens.served_by if tokens else "",
            requests=requests,
            input_tokens=tokens.prompt_tokens if tokens else 0,
            cached_tokens=tokens.cached_tokens if tokens else 0,
            output_tokens=tokens.completion_tokens if tokens else 0,
            is_estimate=tokens.is_estimate if tokens else False,
            run=run.id,
            step=step,
            thread=run.thread_id,
            assistant=run.assistant_id or "",
        )


def _step(one: Stored) -> RunStep | None:
    if isinstance(one, Kept):
        return one.data
    return one if isinstance(one, RunStep) else None
