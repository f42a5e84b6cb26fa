"""Runs at rest that end without work: cancelled, or expired while they waited for a client."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Literal

from msgspec.structs import replace

from famulus import tracing
from famulus.failpoints import failpoint
from famulus_runs.call_drafts import Forms
from famulus_runs.drafts import Kept, MessageDraft
from famulus_runs.end_report import EndReport
from famulus_runs.journal import DONE, RunGone, marked_run
from famulus_runs.kinds import (
    ENDS,
    JOB,
    decode_extra,
    decode_run,
    encode,
    run_index,
    step_body,
    step_index,
    tells_contents,
)
from famulus_runs.log import Teller, last_position, log_writes
from famulus_runs.resume import (
    StoredStep,
    model_requests_of,
    open_message,
    open_tools,
    spent_by,
    steps_of,
)
from famulus_runs.tools_draft import ToolsDraft
from famulus_runs.turn_taking import Leave, is_by_others, leave_of
from famulus_runs.usage import is_estimate
from famulus_schemas.errors import Problem
from famulus_schemas.events import (
    AssistantStreamEvent,
    ThreadRunCancelled,
    ThreadRunCancelling,
    ThreadRunExpired,
)
from famulus_schemas.jobs import Jobs, given_back_unless_done
from famulus_schemas.messages import Message
from famulus_schemas.ports import Events, Threads
from famulus_schemas.records import Conflict, Record, Records, Replace, Unit, Write
from famulus_schemas.runs import Run, RunError, RunUsage
from famulus_schemas.steps import RunStep

Join = Callable[[str, Unit], Awaitable[Unit]]
EndStatus = Literal["cancelled", "expired"]
END_ATTEMPTS_MAX = 256
"""Runs that come and go on the same thread while one of them is ended."""

LATE = "The run waited for its turn until it expired. Create it again."
WAITED = "The run waited for its turn until it expired: run {run} had the thread. Create it again."


class Resting:
    """Ends runs that no worker has: at rest, waiting for room, or waiting for their thread."""

    def __init__(
        self,
        *,
        threads: Threads,
        jobs: Jobs,
        events: Events,
        ends: EndReport,
        now: Callable[[], int],
    ) -> None:
        self._threads = threads
        self._jobs = jobs
        self._events = events
        self._ends = ends
        self._now = now

    async def end(self, records: Records, record: Record, status: EndStatus, join: Join) -> bool:
        """End the run as it was read; whether it was still so, and in no worker's hands."""
        run = decode_run(record.body)
        for _ in range(END_ATTEMPTS_MAX):
            of_job = await self._jobs.discard(records.project, JOB, run.id)
            if of_job is None or run.status in ENDS:
                return False
            leave = await leave_of(
                records.project, run.thread_id, run.id, threads=self._threads, jobs=self._jobs
            )
            try:
                with given_back_unless_done(self._jobs, leave.heir):
                    await self._end(records, record, status, join, of_job, leave)
            except RunGone:
                return False
            except Conflict as conflict:
                if is_by_others(conflict, run.id):
                    continue
                return False
            return True
        return False

    async def _end(
        self,
        records: Records,
        record: Record,
        status: EndStatus,
        join: Join,
        of_job: Unit,
        leave: Leave,
    ) -> None:
        run, now = decode_run(record.body), self._now()
        error = None
        if status == "expired" and run.started_at is None:
            text = WAITED.format(run=leave.waited_for) if leave.waited_for else LATE
            error = RunError(code="rate_limit_exceeded", message=text)
        steps = await steps_of(records, run)
        forms = Forms(with_contents=tells_contents(record))
        items = await self._items(records, run, steps, status, now, forms)
        events = _events(run, items, status, now, error, spent_by(steps))
        at = await last_position(records, run.thread_id, run.id)
        teller = Teller(run.id, attempt=1, at=at, is_resumed=True)
        emissions = [teller.tell(event) for event in events]
        unit: list[Write] = [*of_job, *leave.unit]
        unit += log_writes(run.id, run.thread_id, emissions, at=teller.at)
        failpoint("rest_before_commit")
        unit += await self._writes(records, record, events)
        await records.commit(await join("runs.end", unit))
        failpoint("rest_committed")
        if leave.heir is not None:
            self._jobs.started(leave.heir)
        self._events.publish(records.project, run.id, [*emissions, DONE])
        self._events.close(records.project, run.id)
        failpoint("rest_told")
        self._report(records.project, record, events[-1], steps)

    def _report(
        self,
        project: str,
        record: Record,
        event: AssistantStreamEvent,
        steps: Sequence[StoredStep],
    ) -> None:
        run, extra = event.data, decode_extra(record.extra)
        assert isinstance(run, Run)
        span = tracing.continued(extra.trace, conversation=run.thread_id, agent=run.assistant_id)
        self._ends.of(
            project,
            run,
            principal=extra.principal,
            reserved=extra.reserved,
            model_requests=model_requests_of(steps),
            span=span,
        )

    async def _items(
        self,
        records: Records,
        run: Run,
        steps: Sequence[StoredStep],
        status: EndStatus,
        now: int,
        forms: Forms,
    ) -> list[AssistantStreamEvent]:
        """The ends of what is open: calls, and what a lost worker was writing."""
        events: list[AssistantStreamEvent] = []
        for stored in steps:
            step = stored.step
            if step.status != "in_progress":
                continue
            draft: MessageDraft | ToolsDraft
            if step.type == "message_creation":
                draft = await open_message(self._threads, records.project, step)
            else:
                draft = open_tools(stored, str, forms)
                # All of it was told before the client was asked.
                draft.is_resumed = run.status != "requires_action"
            ended = draft.broken_off(status, now, None)
            events += [event for event in ended if not isinstance(event, Kept)]
        return events

    async def _writes(
        self, records: Records, record: Record, events: list[AssistantStreamEvent]
    ) -> list[Write]:
        writes: list[Write] = []
        for event in events:
            data = event.data
            if isinstance(data, Message) and data.status != "in_progress":
                with suppress(Problem):  # A client may have deleted it.
                    writes += await self._threads.replace_message(records.project, data)
            elif isinstance(data, RunStep) and data.status != "in_progress":
                stored = await records.get("step", data.id)
                if stored is None:
                    raise RunGone(f"step {data.id} is gone")
                writes.append(
                    Replace(
                        kind="step",
                        id=data.id,
                        version=stored.version,
                        body=step_body(data),
                        index=step_index(data),
                    )
                )
        ended = events[-1].data
        assert isinstance(ended, Run)
        writes.append(
            Replace(
                kind="run",
                id=record.id,
                version=record.version,
                body=encode(ended),
                extra=marked_run(record) if is_estimate(ended.usage) else None,
                index=run_index(ended),
            )
        )
        return writes


def _events(
    run: Run,
    events: list[AssistantStreamEvent],
    status: EndStatus,
    now: int,
    error: RunError | None,
    usage: RunUsage,
) -> list[AssistantStreamEvent]:
    ended = replace(run, required_action=None, expires_at=None, usage=usage)
    if status == "expired":
        expired = replace(ended, status="expired", last_error=error)
        return [*events, ThreadRunExpired(data=expired)]
    cancelling = replace(run, status="cancelling", usage=None)
    cancelled = replace(ended, status="cancelled", cancelled_at=now)
    return [
        ThreadRunCancelling(data=cancelling),
        *events,
        ThreadRunCancelled(data=cancelled),
    ]
