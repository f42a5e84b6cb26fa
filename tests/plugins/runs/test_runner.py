"""A run at work, seen from whoever drives it: an engine, and a journal that only remembers."""

from __future__ import annotations

import asyncio
from typing import Any

from msgspec.structs import replace

from famulus.testing import Script
from famulus_runs.end_report import EndReport
from famulus_runs.positions import START, Position
from famulus_runs.runner import Runner
from famulus_runs.settings import RunSettings
from famulus_schemas.jobs import Job

JOB = Job(project="default", kind="run", key="run_1", attempt=2, fence=3, version=3)
ENDLESS_S = 5.0


class Remembering:
    """A journal without a store."""

    is_settled = True

    def __init__(self, *, is_marked: bool) -> None:
        self.told: list[Any] = []
        self.is_at_rest = False
        self._is_marked = is_marked

    @property
    def at(self) -> Position:
        return START

    async def write(self, batch: Any) -> None:
        self.told += [event.data for event in batch]
        self.is_at_rest = getattr(self.told[-1], "status", "") == "cancelled"

    async def checkpoint(self, message: Any) -> None: ...

    async def is_cancelling(self) -> bool:
        return self._is_marked


class Silent:
    """EVENTS that nobody hears."""

    def close(self, *_: Any) -> None: ...

    def drop(self, *_: Any) -> None: ...


async def test_a_cancel_that_came_while_the_run_was_taken_up_is_seen(harness: Any) -> None:
    engine = harness.engine(Script().says("on ").without_end())
    engine.run = replace(engine.run, status="in_progress", started_at=engine.run.created_at)
    journal = Remembering(is_marked=True)

    async def load(_: Job) -> Any:
        return engine, journal

    runner = Runner(
        load=load,
        drop=None,  # type: ignore[arg-type]
        events=Silent(),  # type: ignore[arg-type]
        settings=RunSettings(),
        clock=harness.clock,
        ends=EndReport(clock=harness.clock, tell=lambda _: None, log=harness.log),
        log=harness.log,
    )
    async with asyncio.timeout(ENDLESS_S):
        await runner.do(JOB)

    assert [run.status for run in journal.told] == ["cancelling", "cancelled"]
