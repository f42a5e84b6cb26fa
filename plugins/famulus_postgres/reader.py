"""Reading: each `get`, `page` and `scan` is one statement, so one round trip."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from famulus_postgres import statements
from famulus_postgres.failures import Failure, described, failure_of
from famulus_postgres.pool import Pool
from famulus_postgres.texts import indexed, is_storable
from famulus_schemas.records import Order, Page, Record, StoreUnavailable, UnknownCursor

_TRIES = 2
"""A pooled connection may have died unseen; the second try is made with another."""


class Reader:
    """Reads of one database, in whatever project."""

    def __init__(self, pool: Pool, *, read_s: float) -> None:
        self._pool = pool
        self._read_s = read_s

    async def get(self, project: str, kind: str, id: str) -> Record | None:
        """A record by its key."""
        if not is_storable(id):
            return None
        rows = await self.fetch(statements.GET, project, kind, id)
        if not rows:
            return None
        parent, *rest = rows[0]
        return record_of(project, kind, id, parent, *rest)

    async def page(
        self,
        project: str,
        kind: str,
        parent: str,
        *,
        where: Mapping[str, str],
        order: Order,
        after: str | None,
        before: str | None,
        limit: int,
    ) -> Page:
        """A page of a list. Raises UnknownCursor."""
        if after is not None and not is_storable(after):
            raise UnknownCursor("after", after)
        if before is not None and not is_storable(before):
            raise UnknownCursor("before", before)
        if not is_storable(parent):
            return _nothing_under_it(after, before)
        backward = before is not None and after is None
        statement = statements.page(
            order,
            after=after is not None,
            before=before is not None,
            backward=backward,
            names=min(len(where), 2),
        )
        # One more than asked for tells whether there are more.
        rows = await self.fetch(
            statement, project, kind, parent, after, before, limit + 1, *_where(where)
        )
        after_seq, before_seq = rows[0][:2]
        if after is not None and after_seq is None:
            raise UnknownCursor("after", after)
        if before is not None and before_seq is None:
            raise UnknownCursor("before", before)
        found = [row for row in rows if row[2] is not None]
        has_more = len(found) > limit
        kept = found[len(found) - limit :] if backward and has_more else found[:limit]
        return Page(
            records=[record_of(project, kind, id, parent, *rest) for _, _, id, *rest in kept],
            has_more=has_more,
        )

    async def scan(
        self,
        kind: str,
        *,
        where: Mapping[str, str],
        order: Order,
        above: int,
        below: int,
        limit: int,
    ) -> Sequence[Record]:
        """Records of a kind in every project with `above < seq < below`."""
        statement = statements.scan(order, names=min(len(where), 2))
        rows = await self.fetch(statement, kind, above, below, limit, *_where(where))
        return [record_of(project, kind, id, parent, *rest) for project, id, parent, *rest in rows]

    async def now(self) -> float:
        """The server's clock."""
        rows = await self.fetch(statements.NOW)
        now: float = rows[0][0]
        return now

    async def fetch(self, statement: str, *values: Any) -> Sequence[Any]:
        """All rows, asked for twice where the connection was lost. Raises StoreUnavailable."""
        for left in reversed(range(_TRIES)):
            try:
                async with asyncio.timeout(self._read_s):
                    return await self._pool.fetch(statement, values)
            except StoreUnavailable:
                raise
            except Exception as error:  # Drivers and sockets raise many kinds; it is judged here.
                failure = failure_of(error)
                if failure is Failure.UNIT:
                    raise
                if failure is Failure.STORE or not left:
                    raise StoreUnavailable(f"PostgreSQL cannot read: {described(error)}") from error
        raise AssertionError("the last try returns or raises")


def _nothing_under_it(after: str | None, before: str | None) -> Page:
    if after is not None:
        raise UnknownCursor("after", after)
    if before is not None:
        raise UnknownCursor("before", before)
    return Page(records=(), has_more=False)


def _where(where: Mapping[str, str]) -> list[Any]:
    """The first name and its value, then the others as two arrays."""
    if not where:
        return []
    (name, value), *others = where.items()
    first = [name, indexed(value)]
    if not others:
        return first
    return [*first, [name for name, _ in others], [indexed(value) for _, value in others]]


def record_of(
    project: str,
    kind: str,
    id: str,
    parent: str,
    seq: int,
    version: int,
    fence: int,
    created_at: int,
    shape: int,
    body: bytes,
    extra: bytes,
) -> Record:
    """The record that a row of `statements.COLUMNS` holds, with its key before it."""
    return Record(
        project=project,
        kind=kind,
        id=id,
        parent=parent,
        seq=seq,
        version=version,
        fence=fence,
        created_at=created_at,
        shape=shape,
        body=body,
        extra=extra,
    )
