"""Jobs that joined another's unit, begun once that is committed.

Who makes such a unit cannot say so to JOBS, which would find the jobs by itself only seconds
later. So one of them is looked for, a few times.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from famulus_schemas.jobs import Jobs, Ticket
from famulus_schemas.records import Insert, RecordStore, StoreUnavailable

LOOKS_S = (0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0)


class Nudges:
    """Looks for what is about to be committed."""

    def __init__(self, records: RecordStore, jobs: Jobs) -> None:
        self._records = records
        self._jobs = jobs
        self._tasks: set[asyncio.Task[None]] = set()

    def expect(self, project: str, tickets: Sequence[Ticket]) -> None:
        """These jobs are about to be committed, all in one unit."""
        if not tickets:
            return
        (write,) = tickets[-1].unit
        assert isinstance(write, Insert)
        task = asyncio.create_task(self._look(project, write.id, tickets[-1]))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _look(self, project: str, id: str, ticket: Ticket) -> None:
        for pause_s in LOOKS_S:
            await asyncio.sleep(pause_s)
            try:
                if await self._records.of(project).get("job", id) is not None:
                    self._jobs.started(ticket)
                    return
            except StoreUnavailable:
                continue

    async def stop(self) -> None:
        """Look no more."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
