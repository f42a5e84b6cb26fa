"""Runs at work: `journal(engine(prompt(run)))`, each a job that outlives its listeners."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING

import msgspec
from msgspec.structs import replace

from famulus import tracing
from famulus.failpoints import failpoint
from famulus_runs.drafts import Batch, Kept, incomplete_message
from famulus_runs.end_report import EndReport
from famulus_runs.engine import EndStatus, Engine
from famulus_runs.journal import Journal, RunCancelling, RunGone
from famulus_runs.positions import Position
from famulus_runs.rest import LATE
from famulus_schemas.errors import Problem
from famulus_schemas.events import (
    AssistantStreamEvent,
    ThreadMessageIncomplete,
    ThreadRunStepCancelled,
)
from famulus_schemas.jobs import Job
from famulus_schemas.messages import Message
from famulus_schemas.ports import Emission, Events, EventsStopped, ListenerDropped
from famulus_schemas.records import StoreUnavailable
from famulus_schemas.runs import Run, RunError
from famulus_schemas.steps import RunStep

if TYPE_CHECKING:
    from famulus.log import Log
    from famulus_runs.settings import RunSettings

SYSTEM = "system"
CANCEL = "run_cancel"
"""The topic on which processes ask each other to cancel a run."""

LISTEN_AGAIN_S = 1.0

LOST = (
    "The process that worked on the run was lost, {attempts} times. Its records are kept; "
    "create the run again."
)
BROKEN = (
    "The server had an error while it worked on the run; its log says what, under the run's id."
)

Work = tuple[Engine, Journal]


class Live:
    """A run that is at work in this process."""

    def __init__(self, engine: Engine, journal: Journal) -> None:
        self.engine = engine
        self.journal = journal
        self.span = tracing.continued(
            engine.trace, conversation=engine.run.thread_id, agent=engine.run.assistant_id
        )
        self.task: asyncio.Task[None] | None = None
        self.is_cancelled = False
        self.over = asyncio.Event()

    def cancel(self) -> None:
        """Stop the work; the model's server is left at once."""
        self.is_cancelled = True
        if self.task is not None:
            self.task.cancel()


class Runner:
    """Does the jobs that runs are."""

    def __init__(
        self,
        *,
        load: Callable[[Job], Awaitable[Work | None]],
        drop: Callable[[Job], Awaitable[None]],
        events: Events,
        settings: RunSettings,
        clock: Callable[[], float],
        ends: EndReport,
        log: Log,
    ) -> None:
        self._load = load
        self._drop = drop
        self._events = events
        self._settings = settings
        self._clock = clock
        self._ends = ends
        self._log = log
        self._live: dict[tuple[str, str], Live] = {}

    def live(self, project: str, run_id: str) -> Live | None:
        """The run, where it is at work here."""
        return self._live.get((project, run_id))

    async def do(self, job: Job) -> None:
        """Work on a run until it is at rest. Cancelling it leaves the run for another worker."""
        if not tracing.request_id.get():
            # Whoever takes it up later does not know which request it came from.
            tracing.request_id.set(job.key)
        try:
            work = await self._load(job)
        except RunGone as gone:
            self._log.info("run_gone", run=job.key, reason=str(gone))
            return
        if work is None:
            # Before the job goes: listeners anywhere see that there is no run, or that it is over.
            self._events.close(job.project, job.key)
            await self._drop(job)
            return
        failpoint("run_loaded")
        engine, journal = work
        live = self._live[(job.project, job.key)] = Live(engine, journal)
        tracing.span.set(live.span)
        try:
            await self._do(job, live)
        except RunGone as gone:
            self._log.info("run_gone", run=job.key, reason=str(gone))
        finally:
            if self._live.get((job.project, job.key)) is live:
                # Else it was given up for dead, and has come back to this process since.
                del self._live[job.project, job.key]
            live.over.set()
            failpoint("run_closed")
            if journal.is_at_rest:
                self._report(job.project, live)
            else:
                # Others go on with it, and tell the rest.
                self._events.drop(job.project, job.key)

    async def _do(self, job: Job, live: Live) -> None:
        if job.attempt > self._settings.attempts_max:
            text = LOST.format(attempts=job.attempt - 1)
            await self._end(live, "failed", RunError(code="server_error", message=text))
            return
        if await self._is_marked(live):
            # Somebody asked for it, and the worker that was to do it was lost.
            await self._end(live, "cancelled")
            return
        live.task = asyncio.create_task(self._work(live), name=f"run {job.key}")
        try:
            await asyncio.wait([live.task])
        except asyncio.CancelledError:
            # The server stops: what is not done is handed back, not ended, whatever stopped it.
            live.task.cancel()
            await asyncio.gather(live.task, return_exceptions=True)
            raise
        await self._settle(live, None if live.task.cancelled() else live.task.exception())

    async def _is_marked(self, live: Live) -> bool:
        """Whether the run was to be cancelled when it was taken up."""
        if live.engine.run.status == "queued":
            # Its first commit sees that.
            return False
        # Looked at anew: whoever asked while it was being loaded was heard by nobody.
        return live.engine.run.status == "cancelling" or await live.journal.is_cancelling()

    async def _settle(self, live: Live, error: BaseException | None) -> None:
        """What is to be done once the work has stopped, for whatever reason."""
        if isinstance(error, RunGone | StoreUnavailable):
            raise error
        if not live.journal.is_settled:
            # What is in memory may differ from what is on disk; who reads it again goes on.
            raise error or StoreUnavailable("what became of the last commit is not known")
        if live.journal.is_at_rest:
            return
        if live.is_cancelled:
            failpoint("cancel_before_end")
            await self._end(live, "cancelled")
        elif error is not None:
            self._log.error("run_broken", run=live.engine.run.id, exc_info=error)
            await self._end(live, "failed", RunError(code="server_error", message=BROKEN))

    async def _end(self, live: Live, status: EndStatus, error: RunError | None = None) -> None:
        await self._write(live, live.engine.end(status, error=error))

    async def _write(self, live: Live, batch: Batch) -> bool:
        """Write a batch, or the end of a run that was cancelled meanwhile; whether the former."""
        try:
            await live.journal.write(batch)
        except RunCancelling:
            left = cancelled_instead(batch, int(self._clock()))
            cancelling, *ended = live.engine.end("cancelled")
            await live.journal.write([cancelling, *left, *ended])
            return False
        return True

    async def _work(self, live: Live) -> None:
        run = live.engine.run
        left_s = (run.expires_at or 0) - self._clock()
        if left_s <= 0 and run.started_at is None:
            await self._end(live, "expired", RunError(code="rate_limit_exceeded", message=LATE))
            return
        try:
            async with asyncio.timeout(max(left_s, 0.0)):
                await self._drive(live)
                failpoint("run_over")
        except TimeoutError:
            if live.journal.is_at_rest:
                return
            failpoint("expire_before_end")
            await self._end(live, "expired")

    async def _drive(self, live: Live) -> None:
        pace = Pace(self._settings, asyncio.get_running_loop().time, live.journal.at)
        async with aclosing(live.engine.work()) as batches:
            async for batch in batches:
                if not await self._write(live, batch):
                    return
                # Putting the message together costs as much as it is long: only when due.
                if pace.is_due(live.journal.at) and (item := live.engine.open_item()):
                    await live.journal.checkpoint(item)

    # --- cancelling ---------------------------------------------------------------------------

    async def cancel(self, project: str, run_id: str) -> bool:
        """Cancel a run that is at work here, and wait until it is at rest; whether it was here."""
        live = self.live(project, run_id)
        if live is None:
            return False
        live.cancel()
        await live.over.wait()
        return True

    def cancel_soon(self, project: str, run_id: str) -> None:
        """Cancel a run wherever it is at work, without waiting for that."""
        live = self.live(project, run_id)
        if live is not None:
            live.cancel()
        else:
            self.ask_others(project, run_id)

    def ask_others(self, project: str, run_id: str) -> None:
        """Ask whoever has the run to cancel it."""
        data = msgspec.json.encode([project, run_id])
        self._events.publish(SYSTEM, CANCEL, [Emission(name="cancel", data=data)])

    async def hear_others(self) -> None:
        """Cancel runs of this process that another was asked to cancel, for ever."""
        while True:
            try:
                async with self._events.subscribe(SYSTEM, CANCEL) as listener:
                    async for batch in listener:
                        self._cancel_all(batch)
            except EventsStopped:
                return
            except ListenerDropped:
                await self._cancel_marked()
            except Problem:
                # A run that is marked stops by itself, only later.
                await asyncio.sleep(LISTEN_AGAIN_S)

    async def _cancel_marked(self) -> None:
        """Cancel the runs of this process that another was asked to cancel while none was heard."""
        for (_, run_id), live in list(self._live.items()):
            try:
                if await live.journal.is_cancelling():
                    live.cancel()
            except StoreUnavailable as error:
                self._log.warning("cancel_not_seen", run=run_id, reason=str(error))

    def _cancel_all(self, batch: Sequence[Emission]) -> None:
        for emission in batch:
            project, run_id = msgspec.json.decode(emission.data, type=tuple[str, str])
            live = self.live(project, run_id)
            if live is not None:
                live.cancel()

    def _report(self, project: str, live: Live) -> None:
        engine = live.engine
        self._ends.of(
            project,
            engine.run,
            principal=engine.principal,
            reserved=engine.reserved,
            model_requests=engine.model_requests,
            span=live.span,
        )


class Pace:
    """When an open message is due to be stored."""

    def __init__(self, settings: RunSettings, now: Callable[[], float], at: Position) -> None:
        self._after_s = settings.checkpoint_ms / 1000
        self._after_characters = settings.checkpoint_bytes
        self._now = now
        self._stored_at = at
        self._stored_s = now()

    def is_due(self, at: Position) -> bool:
        """Whether it is, now that the run was told up to there."""
        now = self._now()
        if at.seq == self._stored_at.seq:
            if (
                now - self._stored_s < self._after_s
                and at.offset - self._stored_at.offset < self._after_characters
            ):
                return False
            self._stored_at, self._stored_s = at, now
            return True
        # What was told stored it.
        self._stored_at, self._stored_s = at, now
        return False


def cancelled_instead(batch: Batch, now: int) -> list[AssistantStreamEvent | Kept]:
    """What a batch that could not be written any more leaves behind in a cancelled run."""
    left: list[AssistantStreamEvent | Kept] = []
    for event in batch:
        data = event.data
        if isinstance(data, Run):
            continue
        if isinstance(event, Kept):
            if event.calls:
                left.append(event)
            continue
        if isinstance(data, Message) and data.status != "in_progress":
            message = replace(data, completed_at=None)
            ended = incomplete_message(message, "run_cancelled", now)
            left.append(ThreadMessageIncomplete(data=ended))
        elif isinstance(data, RunStep) and data.status != "in_progress":
            step = replace(
                data,
                status="cancelled",
                completed_at=None,
                failed_at=None,
                expired_at=None,
                last_error=None,
                cancelled_at=now,
            )
            left.append(ThreadRunStepCancelled(data=step))
        else:
            left.append(event)
    return left
