"""The record store: what `need(RECORDS)` and `need(RECORDS.system)` give."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from famulus_postgres import erasing
from famulus_postgres.database import Database
from famulus_postgres.failures import UNREACHABLE, described
from famulus_postgres.fill import fill
from famulus_postgres.texts import KEPT_SEPARATOR, is_storable
from famulus_schemas.records import (
    SEQ_MAX,
    Census,
    Clear,
    Kind,
    Order,
    Page,
    Record,
    StoreUnavailable,
    Unit,
)


class PostgresRecords:
    """The records of one project."""

    __slots__ = ("_database", "project")

    def __init__(self, project: str, database: Database) -> None:
        self.project = project
        self._database = database

    async def get(self, kind: str, id: str) -> Record | None:
        """The record as last committed, or None."""
        return await self._database.reader.get(self.project, kind, id)

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
        """Up to `limit` records of one list; see `Records.page`."""
        self._database.kinds.check_where(kind, where)
        return await self._database.reader.page(
            self.project,
            kind,
            parent,
            where=where,
            order=order,
            after=after,
            before=before,
            limit=limit,
        )

    async def commit(self, unit: Unit) -> None:
        """Write all of it, durably, or raise and write nothing; see `Records.commit`.

        Raises OutcomeUnknown if the database was lost during the commit and stays away.
        """
        self._database.kinds.check_unit(unit)
        for write in unit:
            for text in (write.kind, write.parent if isinstance(write, Clear) else write.id):
                if not is_storable(text):
                    raise ValueError(f"PostgreSQL cannot store {text!r} as a key")
        await self._database.writer.commit(self.project, unit)


class PostgresStore:
    """Every project's records, one project at a time."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def of(self, project: str) -> PostgresRecords:
        """The records of that project."""
        return PostgresRecords(project, self._database)

    async def declare(self, *kinds: Kind) -> None:
        """Make kinds known, and back-fill names that they did not have before."""
        for kind in kinds:
            self._database.kinds.check(kind)
            for name in kind.indexes:
                if KEPT_SEPARATOR in name or not is_storable(name):
                    raise ValueError(f"{name!r} cannot be the name of an index")
        # Before they are filled: what is written meanwhile brings its own values.
        for kind in kinds:
            self._database.kinds.add(kind)
        try:
            await fill(self._database.sessions, self._database.settings, kinds)
        except UNREACHABLE as error:
            raise StoreUnavailable(f"PostgreSQL cannot be used: {described(error)}") from error


class PostgresSystem(PostgresStore):
    """The view across projects, for those few who must have it."""

    exclusive = False

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
        return await self._database.reader.scan(
            kind, where=where, order=order, above=after_seq, below=before_seq, limit=limit
        )

    async def now(self) -> float:
        """The database's clock in unix seconds."""
        return await self._database.reader.now()

    async def census(self, project: str) -> Census:
        """What there is of a project."""
        return await erasing.census(self._database.sessions, project)

    async def wipe(self, project: str, *, keep: Collection[str] = (), limit: int = 1000) -> int:
        """Remove some of a project for good."""
        return await erasing.wipe(self._database.sessions, project, keep, limit)

    async def scrub(self) -> None:
        """Have the pages of removed rows used again."""
        await erasing.scrub(self._database.sessions)
