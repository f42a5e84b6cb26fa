"""What joined another's unit, told to whom it concerns once that is committed.

Who makes such a unit cannot say so. JOBS would find the jobs in it by itself only seconds later,
and VECTORS would keep the texts of a file that is deleted until its store is searched. So one of
the records is looked for, a few times.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from famulus_schemas.jobs import Jobs, Ticket
from famulus_schemas.records import Delete, Insert, RecordStore, StoreUnavailable, Unit
from famulus_schemas.retrieval import Vectors

LOOKS_S = (0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0)


class Nudges:
    """Looks for what is about to be committed."""

    def __init__(self, records: RecordStore, jobs: Jobs, vectors: Vectors) -> None:
        self._records = records
        self._jobs = jobs
        self._vectors = vectors
        self._tasks: set[asyncio.Task[None]] = set()

    def expect(self, project: str, tickets: Sequence[Ticket]) -> None:
        """These jobs are about to be committed, all in one unit."""
        if not tickets:
            return
        ticket = tickets[-1]
        (write,) = ticket.unit
        assert isinstance(write, Insert)

        async def begin() -> None:
            self._jobs.started(ticket)

        self._expect(project, "job", write.id, is_there=True, then=begin)

    def expect_gone(self, project: str, unit: Unit) -> None:
        """Files are about to leave their stores by this unit."""
        kind = "vector_store_file"
        ids = [write.id for write in unit if isinstance(write, Delete) and write.kind == kind]
        if not ids:
            return

        async def tell() -> None:
            for id in ids:
                await self._vectors.changed(project, id.partition("/")[0])

        self._expect(project, kind, ids[-1], is_there=False, then=tell)

    def _expect(
        self,
        project: str,
        kind: str,
        id: str,
        *,
        is_there: bool,
        then: Callable[[], Awaitable[None]],
    ) -> None:
        async def look() -> None:
            for pause_s in LOOKS_S:
                await asyncio.sleep(pause_s)
                try:
                    record = await self._records.of(project).get(kind, id)
                except StoreUnavailable:
                    continue
                if (record is not None) == is_there:
                    await then()
                    return

        task = asyncio.create_task(look())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def stop(self) -> None:
        """Look no more."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
