"""Reads what was added up: few rows, whatever was asked of models."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable

from famulus import Problem
from famulus_schemas.errors import INVALID
from famulus_schemas.records import Record, SystemRecords
from famulus_usage.cells import Cell, decode_cell
from famulus_usage.kinds import ENTRY, ROWS, Entry, decode_entry
from famulus_usage.settings import UsageSettings
from famulus_usage.times import Width, shelves

ROWS_PER_READ = 500


class Reading:
    """Rows and entries of all projects."""

    def __init__(self, records: SystemRecords, settings: UsageSettings) -> None:
        self._records = records
        self._rows_max = settings.answer_rows_max

    async def rows(self, width: Width, start: int, end: int) -> list[tuple[str, Cell]]:
        """What each project used in each minute, hour or day that begins in this time.

        Raises Problem where that is more than may be read at once.
        """
        kind = ROWS[width].name
        read = await self.records(kind, shelves(start, end, width))
        cells = ((record.project, decode_cell(record.body)) for record in read)
        return [pair for pair in cells if start <= pair[1].at < end]

    async def records(self, kind: str, on: Iterable[int]) -> list[Record]:
        """All that lies on these shelves. Raises Problem likewise."""
        found: list[Record] = []
        for shelf in on:
            after = 0
            while True:
                records = await self._records.scan(
                    kind, where={"shelf": f"{shelf}"}, after_seq=after, limit=ROWS_PER_READ
                )
                found += records
                if len(found) > self._rows_max:
                    reason = f"it takes more than {self._rows_max} rows; ask for a shorter time"
                    raise Problem(INVALID, param="limit", name="limit", reason=reason)
                if len(records) < ROWS_PER_READ:
                    break
                after = records[-1].seq
        return found

    async def entries(self, where: dict[str, str]) -> AsyncIterator[tuple[str, Entry]]:
        """What each step of runs used, oldest first, with its project."""
        after = 0
        while True:
            records = await self._records.scan(
                ENTRY.name, where=where, after_seq=after, limit=ROWS_PER_READ
            )
            for record in records:
                yield record.project, decode_entry(record.body)
            if len(records) < ROWS_PER_READ:
                return
            after = records[-1].seq
