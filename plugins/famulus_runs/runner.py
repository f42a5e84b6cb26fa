"""Runs at work: `journal(engine(prompt(run)))`, each as a task that outlives its listeners."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from typing import TYPE_CHECKING

from famulus_runs.engine import Engine
from famulus_runs.journal import Journal, RunGone
from famulus_schemas.errors import TOO_BUSY, Problem
from famulus_schemas.notices import RunEnded
from famulus_schemas.records import StoreUnavailable
from famulus_schemas.runs import Run, RunError

if TYPE_CHECKING:
    from famulus.log import Log
    from famulus_runs.settings import RunSettings
    from famulus_schemas.notices import Notice

STOPPED = "The server was stopped while the run was at work. Create the run again."
BROKEN = "The server had an error while it worked on the run; its log says what, under the run's id."

MakeWork = Callable[[str, Run], tuple[Engine, Journal]]


class Runner:
    """Starts runs, and ends what is left of them when the server stops."""

    def __init__(
        self,
        *,
        make: MakeWork,
        settings: RunSettings,
        clock: Callable[[], float],
        tell: Callable[[Notice], None],
        log: Log,
    ) -> None:
        self._make = make
        self._settings = settings
        self._clock = clock
        self._tell = tell
        self._log = log
        self._places = asyncio.Semaphore(settings.runs_at_once_max)
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._stopping = False

    def hold_place(self) -> None:
        """Raise Problem (503) where no further run can be taken."""
        if self._stopping:
            raise Problem(TOO_BUSY, headers={"retry-after": "5"}, reason="it is being stopped.")
        limit = self._settings.runs_at_once_max + self._settings.runs_waiting_max
        if len(self._tasks) >= limit:
            raise Problem(
                TOO_BUSY, headers={"retry-after": "5"}, reason=f"{limit} runs are under way."
            )

    def start(self, project: str, run: Run) -> None:
        """Put a queued run to work."""
        task = asyncio.create_task(self._guarded(project, run), name=f"run {run.id}")
        self._tasks[run.id] = task
        task.add_done_callback(lambda _: self._tasks.pop(run.id, None))

    async def stop(self) -> None:
        """Let runs finish for `finish_s`, then end them as failed."""
        self._stopping = True
        tasks = list(self._tasks.values())
        if not tasks:
            return
        _, late = await asyncio.wait(tasks, timeout=self._settings.finish_s)
        for task in late:
            task.cancel()
        if late:
            await asyncio.wait(late)

    async def _guarded(self, project: str, run: Run) -> None:
        engine, journal = self._make(project, run)
        try:
            await self._work(engine, journal)
        except asyncio.CancelledError:
            await self._end(engine, journal, RunError(code="server_error", message=STOPPED))
        except RunGone as gone:
            self._log.info("run_gone", run=run.id, reason=str(gone))
        except Exception as error:  # Isolation: a bug in one run must not take the others along.
            self._log.error("run_broken", run=run.id, exc_info=error)
            await self._end(engine, journal, RunError(code="server_error", message=BROKEN))
        finally:
            journal.end()
            self._report(project, engine.run)

    async def _work(self, engine: Engine, journal: Journal) -> None:
        left_s = (engine.run.expires_at or 0) - self._clock()
        try:
            async with asyncio.timeout(max(left_s, 0.0)):
                async with self._places:
                    async with aclosing(engine.work()) as batches:
                        async for batch in batches:
                            await journal.write(batch)
        except TimeoutError:
            await journal.write(engine.end("expired"))

    async def _end(self, engine: Engine, journal: Journal, error: RunError) -> None:
        try:
            await journal.write(engine.end("failed", error=error))
        except (RunGone, StoreUnavailable) as lost:
            self._log.error("run_end_lost", run=engine.run.id, reason=str(lost))

    def _report(self, project: str, run: Run) -> None:
        usage = run.usage
        self._tell(
            RunEnded(
                project=project,
                run=run.id,
                status=run.status,
                seconds=self._clock() - run.created_at,
                prompt_tokens=usage.prompt_tokens if usage else 0,
                completion_tokens=usage.completion_tokens if usage else 0,
            )
        )

