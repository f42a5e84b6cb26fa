"""Runs that a process left behind: ended as failed, so that no thread stays locked."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from msgspec.structs import replace

from famulus_runs.drafts import Batch, Kept, broken_step, incomplete_message
from famulus_runs.journal import Journal, RunGone
from famulus_runs.kinds import decode_run, decode_step
from famulus_schemas.errors import Problem
from famulus_schemas.events import (
    AssistantStreamEvent,
    ThreadMessageIncomplete,
    ThreadRunFailed,
)
from famulus_schemas.ports import Threads
from famulus_schemas.records import Records, SystemRecords
from famulus_schemas.runs import Run, RunError
from famulus_schemas.steps import MessageCreationStepDetails, RunStep

if TYPE_CHECKING:
    from famulus.log import Log

LEFT_BEHIND = "The server was restarted while the run was at work. Create the run again."
PAGE = 100


async def fail_left_behind(
    system: SystemRecords,
    threads: Threads,
    *,
    now: int,
    journal_of: Callable[[str, Run], Journal],
    log: Log,
) -> int:
    """End every run that is at work in the store but in no process; how many there were."""
    after, ended = 0, 0
    while rows := await system.scan("run", where={"at_work": "yes"}, after_seq=after, limit=PAGE):
        for row in rows:
            after = row.seq
            run = decode_run(row.body)
            journal = journal_of(row.project, run)
            batch = await _batch(system.of(row.project), threads, run, now=now)
            try:
                await journal.write(batch)
            except RunGone:
                continue
            ended += 1
            log.warning("run_left_behind", run=run.id, thread=run.thread_id)
    return ended


async def _batch(
    records: Records, threads: Threads, run: Run, *, now: int
) -> Batch:
    error = RunError(code="server_error", message=LEFT_BEHIND)
    batch: list[AssistantStreamEvent | Kept] = []
    page = await records.page("step", run.thread_id, where={"run": run.id}, limit=PAGE)
    for step in (decode_step(record.body) for record in page.records):
        if step.status == "in_progress":
            batch += await _message_of(records, threads, step, now=now)
            batch += broken_step(step, "failed", now, error)
    failed = replace(
        run, status="failed", failed_at=now, last_error=error, expires_at=None, required_action=None
    )
    return [*batch, ThreadRunFailed(data=failed)]


async def _message_of(
    records: Records, threads: Threads, step: RunStep, *, now: int
) -> list[AssistantStreamEvent]:
    if not isinstance(step.step_details, MessageCreationStepDetails):
        return []
    message_id = step.step_details.message_creation.message_id
    try:
        message = await threads.get_message(records.project, step.thread_id, message_id)
    except Problem:
        return []
    return [ThreadMessageIncomplete(data=incomplete_message(message, "run_failed", now))]
