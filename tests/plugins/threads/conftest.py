"""A server with threads, and a plugin that uses them as runs do."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from famulus.plugin import NoSettings, Plugin, need
from famulus.testing import FixedClock, NumberedIds, TestServer, kernel_with
from famulus_schemas.ports import RECORDS, THREADS
from famulus_schemas.records import Unit


class Worker(Plugin[NoSettings]):
    """Uses THREADS as the plugin that runs assistants does."""

    name = "worker"
    records = need(RECORDS)
    threads = need(THREADS)

    async def commit(self, unit: Unit, project: str = "default") -> None:
        await self.records.of(project).commit(unit)

    async def occupy(self, thread_id: str, run_id: str = "run_1") -> None:
        await self.commit(self.threads.occupy(thread_id, run_id))

    async def vacate(self, thread_id: str) -> None:
        occupancy = await self.threads.occupancy("default", thread_id)
        if occupancy is not None:
            unit, _ = self.threads.leave(occupancy, occupancy.run)
            await self.commit(unit)

    async def occupant(self, project: str, thread_id: str) -> str | None:
        """The run that has the thread."""
        occupancy = await self.threads.occupancy(project, thread_id)
        return occupancy.run if occupancy is not None else None


@pytest.fixture
async def server(fixed_clock: FixedClock, numbered_ids: NumberedIds) -> AsyncIterator[TestServer]:
    async with kernel_with(
        "sqlite", "threads", Worker, clock=fixed_clock, make_id=numbered_ids
    ) as started:
        yield started


@pytest.fixture
def worker(server: TestServer) -> Worker:
    found: Worker = server.plugin("worker")
    return found


@pytest.fixture
async def thread_id(server: TestServer) -> str:
    created: dict[str, Any] = (await server.post("/v1/threads")).json()
    assert created["id"] == "thread_1"
    return "thread_1"
