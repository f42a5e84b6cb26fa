"""The plugin class: one worker a process, its lease, and its board."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from famulus import Plugin, hookimpl, need
from famulus_jobs.board import Board
from famulus_jobs.kinds import JOB, WORKER
from famulus_jobs.lease import Lease
from famulus_jobs.settings import JobSettings
from famulus_schemas.gauges import Gauge
from famulus_schemas.health import Health
from famulus_schemas.ports import EVENTS, JOBS, RECORDS


class JobsPlugin(Plugin[JobSettings]):
    """Does jobs in this process, and takes over those of processes that died."""

    provides = (JOBS,)
    system = need(RECORDS.system)
    events = need(EVENTS)

    board: Board
    lease: Lease

    @asynccontextmanager
    async def lifespan(self) -> AsyncIterator[None]:
        """Enter the worker, work, and hand back what is left."""
        await self.system.declare(JOB, WORKER)
        worker = self.new_id("worker_")
        board = self.board = Board(
            worker,
            system=self.system,
            events=self.events,
            settings=self.settings,
            now=self.now,
            log=self.log,
            lease_held=lambda: self.lease.held(),
        )
        self._lost = False
        lease = self.lease = Lease(
            worker,
            system=self.system,
            settings=self.settings,
            log=self.log,
            holds=board.holds,
            on_lost=lambda: self._lose(board),
            on_freed=board.free,
        )
        await lease.open()
        self.provide(JOBS, board)
        loops = [
            asyncio.create_task(loop) for loop in (lease.keep(), board.take(), board.hear_others())
        ]
        try:
            yield
        finally:
            for loop in loops:
                loop.cancel()
            await asyncio.gather(*loops, return_exceptions=True)
            await board.back.returned()
            await lease.close()

    def _lose(self, board: Board) -> None:
        self._lost = True
        board.close()

    @hookimpl
    def register_gauges(self) -> list[Gauge]:
        """What waits, what is at work, and what became of leases."""
        return [
            Gauge(
                name="famulus_jobs_at_work",
                help="Jobs that this process is doing.",
                labels=("kind",),
                read=lambda: self.board.at_work(),
            ),
            Gauge(
                name="famulus_jobs_waiting",
                help="Jobs that wait for a process to have room, as far as this one knows.",
                labels=("kind",),
                read=lambda: self.board.all_waiting(),
            ),
            Gauge(
                name="famulus_job_lease_lost",
                help="1 once others took this process for dead: it does no more jobs.",
                read=lambda: float(self._lost),
            ),
            Gauge(
                name="famulus_jobs_taken_over_total",
                help="Jobs of processes that died which this one made free for others.",
                read=lambda: float(self.lease.taken_over),
            ),
        ]

    @hookimpl
    async def check_health(self) -> Health:
        """Down once the lease is lost: the process must be restarted."""
        if self._lost:
            return Health(status="down", detail="this process lost its lease; restart it")
        return Health()
