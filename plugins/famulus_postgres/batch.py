"""One batch on one connection, up to its commit: lock, read, judge, write."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from famulus.failpoints import failpoint
from famulus.units import Batch, Effect, Key, Names, Row, judge, names_of
from famulus_postgres import statements
from famulus_postgres.locks import Locks, locks_of
from famulus_postgres.texts import KEPT_SEPARATOR, indexed
from famulus_schemas.records import SEQ_MAX, Clear, Conflict


async def write_batch(
    connection: Any, batch: Batch, *, schema: str, locks_max: int
) -> tuple[list[Conflict | None], int | None]:
    """Begin, and do all but the commit; the refusals, and the transaction's id if it wrote.

    Every statement sees what was committed before its own start, so the rows are read after
    the locks are held.
    """
    names = names_of(batch)
    await connection.execute(statements.BEGIN)
    failpoint("postgres_begun")
    await _lock(connection, locks_of(schema, batch, names), locks_max)
    failpoint("postgres_locked")
    stored, numbers = await _read(connection, names, _cleared(batch))
    judged = judge(batch, stored, iter(numbers).__next__)
    failpoint("postgres_judged")
    xid = await _write(connection, judged.effect)
    failpoint("postgres_written")
    return judged.refusals, xid


async def _lock(connection: Any, locks: Locks, locks_max: int) -> None:
    if len(locks.own) > locks_max:
        await connection.fetch(statements.LOCK_ALL, locks.everybody)
    elif locks.own:
        await connection.fetch(statements.LOCK, locks.everybody, locks.own)


def _cleared(batch: Batch) -> list[tuple[str, str, str, int]]:
    """Each list that is cleared, and past which `seq` its records must be known."""
    return [
        (project, write.kind, write.parent, SEQ_MAX if write.until is None else write.until)
        for project, unit in batch
        for write in unit
        if isinstance(write, Clear)
    ]


async def _read(
    connection: Any, names: Names, cleared: Sequence[tuple[str, str, str, int]]
) -> tuple[Mapping[Key, Row], Sequence[int]]:
    """Lock and read rows that are named or beyond, and get the numbers that inserts may need."""
    keys = _columns(names.keys, 3)
    if cleared:
        parents = _columns(cleared, 4)
        rows = await connection.fetch(statements.READ_CLEARING, *keys, names.inserts, *parents)
    else:
        rows = await connection.fetch(statements.READ, *keys, names.inserts)
    stored: dict[Key, Row] = {}
    numbers: Sequence[int] = ()
    for project, kind, id, parent, seq, version, fence, fresh in rows:
        if fresh is None:
            stored[project, kind, id] = Row(parent=parent, seq=seq, version=version, fence=fence)
        else:
            numbers = fresh
    return stored, numbers


async def _write(connection: Any, effect: Effect) -> int | None:
    """Write the effect; the transaction's id, or None where there was nothing to write."""
    xid = None
    if effect.clears or effect.deletes:
        removed = [key for key, _ in effect.deletes]
        xid = await connection.fetchval(
            statements.REMOVE, *_columns(effect.clears, 3), *_columns(removed, 3)
        )
    if effect.inserts or effect.replaces or effect.tombstones:
        reindexed = [(key, row) for key, row in effect.replaces if row.index is not None]
        xid = await connection.fetchval(
            statements.WRITE,
            *_columns((_inserted(key, row) for key, row in effect.inserts), 11),
            *_columns((_replaced(key, row) for key, row in effect.replaces), 8),
            *_columns(((*key, _kept(row)) for key, row in reindexed), 4),
            *_columns(_index(effect.inserts) + _index(reindexed), 7),
            *_columns(((*key, seq) for key, seq in effect.tombstones.items()), 5),
        )
    return xid


def _columns(rows: Iterable[tuple[Any, ...]], width: int) -> list[list[Any]]:
    """Rows as one array a column; `width` of them also where there is no row."""
    return [list(column) for column in zip(*rows, strict=True)] or [[] for _ in range(width)]


def _inserted(key: Key, row: Row) -> tuple[Any, ...]:
    return (
        *key,
        row.parent,
        row.seq,
        row.version,
        row.fence,
        row.created_at,
        row.shape,
        row.body,
        row.extra,
    )


def _replaced(key: Key, row: Row) -> tuple[Any, ...]:
    return (*key, row.version, row.fence, row.shape, row.body, row.extra)


def _kept(row: Row) -> str:
    return KEPT_SEPARATOR.join(row.index or ())


def _index(rows: Iterable[tuple[Key, Row]]) -> list[tuple[Any, ...]]:
    return [
        (*key, name, indexed(value), row.parent, row.seq)
        for key, row in rows
        for name, value in (row.index or {}).items()
    ]
