"""The record store: what `need(RECORDS)` and `need(RECORDS.system)` give."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import partial
from typing import Literal

from famulus.clock import Clock
from famulus_schemas.records import SEQ_MAX, Census, Kind, Order, Page, Record, Unit, UnknownCursor
from famulus_sqlite import erasing
from famulus_sqlite.database import Database
from famulus_sqlite.declare import fill
from famulus_sqlite.pages import (
    CURSOR,
    POINT,
    page_question,
    record_of,
    records_under,
    scan_question,
)


class SqliteRecords:
    """The records of one project."""

    __slots__ = ("_database", "project")

    def __init__(self, project: str, database: Database) -> None:
        self.project = project
        self._database = database

    async def get(self, kind: str, id: str) -> Record | None:
        """The record as last committed, or None."""
        row = await self._database.reader.row(POINT, (self.project, kind, id))
        return None if row is None else record_of(row)

    async def page(
        self,
        kind: str,
        parent: str = "",
        *,
        where: Mapping[str, str] = {},
        order: Order = "desc",
        after: str | None = None,
        before: str | None = None,
        limit: int = 20,
    ) -> Page:
        """Part of one list; see `Records.page`."""
        self._database.kinds.check_where(kind, where)
        begin = await self._place(kind, parent, "after", after)
        end = await self._place(kind, parent, "before", before)
        low, high = (begin, end) if order == "asc" else (end, begin)
        # The page just before a place is read from there backwards, and turned round.
        is_backward = begin is None and end is not None
        statement, values = page_question(
            self.project,
            kind,
            parent,
            where=where,
            order=_opposite(order) if is_backward else order,
            above=0 if low is None else low,
            below=SEQ_MAX if high is None else high,
            limit=limit + 1,
        )
        rows = await self._database.reader.rows(statement, values)
        records = records_under(self.project, kind, parent, rows[:limit])
        if is_backward:
            records.reverse()
        return Page(records=records, has_more=len(rows) > limit)

    async def commit(self, unit: Unit) -> None:
        """Write all of it, durably, or raise Conflict or StoreUnavailable and write nothing."""
        self._database.kinds.check_unit(unit)
        await self._database.writer.commit(self.project, unit)

    async def _place(
        self, kind: str, parent: str, name: Literal["after", "before"], id: str | None
    ) -> int | None:
        if id is None:
            return None
        row = await self._database.reader.row(CURSOR, (self.project, kind, id, parent) * 2)
        if row[0] is None:
            raise UnknownCursor(name, id)
        seq: int = row[0]
        return seq


class SqliteStore:
    """A `RecordStore` on one SQLite file."""

    def __init__(self, database: Database, *, records_per_fill_max: int) -> None:
        self._database = database
        self._records_per_fill_max = records_per_fill_max

    def of(self, project: str) -> SqliteRecords:
        """The records of that project."""
        return SqliteRecords(project, self._database)

    async def declare(self, *kinds: Kind) -> None:
        """Make kinds known, and back-fill names that they did not have before."""
        for kind in kinds:
            self._database.kinds.check(kind)
            await fill(
                self._database.transactions, kind, records_per_fill_max=self._records_per_fill_max
            )
            self._database.kinds.add(kind)


class SqliteSystem(SqliteStore):
    """The cross-project view of the same store."""

    exclusive = True

    def __init__(self, database: Database, *, records_per_fill_max: int, clock: Clock) -> None:
        super().__init__(database, records_per_fill_max=records_per_fill_max)
        self._clock = clock

    async def scan(
        self,
        kind: str,
        *,
        where: Mapping[str, str] = {},
        after_seq: int = 0,
        before_seq: int = SEQ_MAX,
        order: Order = "asc",
        limit: int = 100,
    ) -> Sequence[Record]:
        """Records of a kind in every project by `seq`, between the two and without them."""
        self._database.kinds.check_where(kind, where)
        statement, values = scan_question(
            kind, where=where, order=order, above=after_seq, below=before_seq, limit=limit
        )
        return [record_of(row) for row in await self._database.reader.rows(statement, values)]

    async def now(self) -> float:
        """The clock of the one process that has the store."""
        return self._clock()

    async def census(self, project: str) -> Census:
        """What there is of a project."""
        return await erasing.census(self._database.reader, project)

    async def wipe(self, project: str, *, keep: Collection[str] = (), limit: int = 1000) -> int:
        """Remove some of a project for good."""
        work = partial(erasing.wipe, project=project, keep=keep, limit=limit)
        return await self._database.transactions.run(work)

    async def scrub(self) -> None:
        """Write the file anew, without what was removed."""
        await erasing.scrub(self._database.transactions)


def _opposite(order: Order) -> Order:
    return "desc" if order == "asc" else "asc"
