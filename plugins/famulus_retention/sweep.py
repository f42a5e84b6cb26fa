"""A sweep: all that is older than it may be is deleted by its owner, in bounded batches."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from famulus import Problem
from famulus.failpoints import failpoint
from famulus.log import Log
from famulus_retention.known import Known
from famulus_retention.lease import Note
from famulus_retention.settings import RetentionSettings
from famulus_retention.tally import Tally
from famulus_schemas.identity import Principal
from famulus_schemas.records import Record, SystemRecords
from famulus_schemas.retention import DataKind, Idle, Removed

ACTOR = "retention"
"""Who deletes, as the log of what was done names it."""


class Sweep:
    """Looks through every kind of data that has an age, once."""

    def __init__(
        self,
        settings: RetentionSettings,
        *,
        records: SystemRecords,
        known: Known,
        now: Callable[[], int],
        log: Log,
        tallies: tuple[Tally, ...],
        is_dry: bool = False,
        project: str | None = None,
    ) -> None:
        self._settings = settings
        self._records = records
        self._known = known
        self._now = now
        self._log = log
        self._tallies = tallies
        self._is_dry = is_dry
        self._project = project

    async def run(
        self, *, kind: str = "", after_seq: int = 0, note: Note | None = None, pause_s: float = 0
    ) -> None:
        """Sweep from a place on. Raises StoreUnavailable, and what `note` does."""
        kinds = [each for each in self._known.aged if self._least_age_s(each.name) is not None]
        names = [each.name for each in kinds]
        first = names.index(kind) if kind in names else 0
        for data in kinds[first:]:
            await self._sweep(data, after_seq if data.name == kind else 0, note, pause_s)

    def _least_age_s(self, name: str) -> float | None:
        if self._project is not None:
            return self._settings.age_s(name, self._project)
        return self._settings.least_age_s(name)

    async def _sweep(
        self, data: DataKind, after_seq: int, note: Note | None, pause_s: float
    ) -> None:
        least = self._least_age_s(data.name)
        assert least is not None
        limit = self._settings.batch_max
        while records := await self._records.scan(data.kind, after_seq=after_seq, limit=limit):
            after_seq = records[-1].seq
            for record in records:
                if record.created_at > self._now() - least:
                    # Whatever came in later is no older.
                    return
                await self._judge(data, record)
            if note is not None:
                await note(data.name, after_seq)
            failpoint("retention_batch_done")
            await asyncio.sleep(pause_s)

    async def _judge(self, data: DataKind, record: Record) -> None:
        if self._project not in (None, record.project):
            return
        age_s = self._settings.age_s(data.name, record.project)
        if age_s is None:
            return
        for tally in self._tallies:
            tally[data.name].looked_at += 1
        try:
            outcome = await self._outcome(data, record, age_s)
        except Problem as problem:
            self._log.warning(
                "not_deleted", kind=data.name, id=record.id, reason=problem.body.message
            )
            for tally in self._tallies:
                tally[data.name].failed += 1
            return
        for tally in self._tallies:
            if isinstance(outcome, Removed):
                tally[data.name].add(outcome)
            elif outcome == "in use":
                tally[data.name].in_use += 1

    async def _outcome(self, data: DataKind, record: Record, age_s: float) -> Removed | str:
        assert data.last_used is not None
        used = await data.last_used(record)
        if used is not None and used > self._now() - age_s:
            return "young"
        unneeded = None if used is None else await self._known.unneeded(record)
        if used is None or unneeded is None:
            return "in use"
        if self._is_dry:
            return Removed(bytes=0 if data.size is None else data.size(record))
        principal = Principal(id=ACTOR, project=record.project)
        idle = Idle(since=used, unneeded=unneeded)
        return await data.delete(principal, record, idle) or "in use"
