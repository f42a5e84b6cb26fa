"""Which waiting jobs are looked at, where more may wait than can be looked at in one go."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from famulus_jobs.kinds import lane, lane_of
from famulus_schemas.records import Record, SystemRecords

if TYPE_CHECKING:
    from famulus_jobs.desk import Desk
    from famulus_jobs.settings import JobSettings

LANES_AT_ONCE = 4
"""Lanes that are looked at in one go, where more wait than can be looked at."""
COUNT_PAGE = 1_000


class Looking:
    """Finds jobs that wait, of all projects."""

    def __init__(self, system: SystemRecords, settings: JobSettings) -> None:
        self._system = system
        self._settings = settings

    async def waiting(self, kind: str, desk: Desk) -> tuple[Sequence[Record], bool]:
        """Waiting jobs, the oldest among them, and whether these are all.

        Where they are not, one project may have filled the front: then the urgent ones are looked
        at too, and of the others some lanes by turns, so that each project's come into sight.
        """
        scan_max = self._settings.scan_max
        oldest = await self._system.scan("job", where={"waiting": kind}, limit=scan_max)
        if len(oldest) < scan_max:
            return oldest, True
        if desk.is_count_due(self._settings.poll_s):
            desk.count(await self._count(kind))
        found = {(record.project, record.id): record for record in oldest}
        lanes = [lane_of(kind, "", -1)]
        lanes += [lane(kind, desk.looks + more) for more in range(LANES_AT_ONCE)]
        desk.looks += LANES_AT_ONCE
        for each in lanes:
            for record in await self._system.scan("job", where={"lane": each}, limit=scan_max):
                found.setdefault((record.project, record.id), record)
        return list(found.values()), False

    async def _count(self, kind: str) -> int:
        """How many jobs wait."""
        count = after = 0
        while page := await self._system.scan(
            "job", where={"waiting": kind}, after_seq=after, limit=COUNT_PAGE
        ):
            count, after = count + len(page), page[-1].seq
        return count
