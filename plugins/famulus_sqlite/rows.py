"""A batch's rows: reading the ones that it names, and writing what it comes to."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from functools import lru_cache

from famulus.units import Effect, Key, Parent, Row

IndexRow = tuple[int, str, str, str, str, str, str]
"""A row of `record_index`."""

_SIZES = (64, 16, 4, 1)
"""Keys a statement asks for: few sizes, so that all of them stay prepared."""


def read_rows(connection: sqlite3.Connection, keys: Sequence[Key]) -> dict[Key, Row]:
    """The stored rows of these keys, without what judging does not need."""
    found: dict[Key, Row] = {}
    start = 0
    for size in _SIZES:
        while len(keys) - start >= size:
            values = [value for key in keys[start : start + size] for value in key]
            for row in connection.execute(_by_keys(size), values):
                project, kind, id, parent, seq, version, fence = row
                found[project, kind, id] = Row(parent=parent, seq=seq, version=version, fence=fence)
            start += size
    return found


def read_beyond(
    connection: sqlite3.Connection, lists: Sequence[tuple[Parent, int]], *, limit: int
) -> dict[Key, Row]:
    """The rows of lists past a `seq`; no more than `limit` of each."""
    found: dict[Key, Row] = {}
    for parent, seq in lists:
        for row in connection.execute(_BEYOND, (*parent, seq, limit)):
            found[(*parent[:2], row[0])] = Row(
                parent=parent[2], seq=row[1], version=row[2], fence=row[3]
            )
    return found


_BEYOND = (
    "select id, seq, version, fence from record"
    " where project = ? and kind = ? and parent = ? and seq > ? order by seq limit ?"
)


def write_effect(connection: sqlite3.Connection, effect: Effect) -> None:
    """Write a judged batch, in the order that `Effect` asks for.

    One `executemany` for each table: for inserts it was measured against statements of many rows,
    which cost half as much again.
    """
    for table in ("record_index", "record", "tombstone") if effect.clears else ():
        connection.executemany(
            f"delete from {table} where project = ? and kind = ? and parent = ?",  # noqa: S608
            effect.clears,
        )
    if effect.deletes:
        seqs = [(row.seq,) for _, row in effect.deletes]
        connection.executemany("delete from record where seq = ?", seqs)
        connection.executemany("delete from record_index where seq = ?", seqs)
    if effect.tombstones:
        connection.executemany(
            "insert or replace into tombstone (project, kind, parent, id, seq)"
            " values (?, ?, ?, ?, ?)",
            [(*key, seq) for key, seq in effect.tombstones.items()],
        )
    if effect.inserts:
        _insert(connection, effect.inserts)
    if effect.replaces:
        _replace(connection, effect.replaces)


def index_rows(key: Key, row: Row) -> Iterator[IndexRow]:
    """A record's rows of `record_index`."""
    project, kind, id = key
    for name, value in (row.index or {}).items():
        yield row.seq, name, value, project, kind, row.parent, id


def insert_index(connection: sqlite3.Connection, rows: Sequence[IndexRow]) -> None:
    """Add index values; ones that are there already stay."""
    if rows:
        connection.executemany(
            "insert or ignore into record_index (seq, name, value, project, kind, parent, id)"
            " values (?, ?, ?, ?, ?, ?, ?)",
            rows,
        )


def _insert(connection: sqlite3.Connection, inserts: Sequence[tuple[Key, Row]]) -> None:
    connection.executemany(
        "insert into record (seq, project, kind, id, parent, version, fence, created_at, shape,"
        " body, extra) values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [
            (
                row.seq,
                *key,
                row.parent,
                row.version,
                row.fence,
                row.created_at,
                row.shape,
                row.body,
                row.extra,
            )
            for key, row in inserts
        ],
    )
    insert_index(
        connection, [values for key, row in inserts if row.index for values in index_rows(key, row)]
    )


def _replace(connection: sqlite3.Connection, replaces: Sequence[tuple[Key, Row]]) -> None:
    connection.executemany(
        "update record set version = ?, fence = ?, shape = coalesce(?, shape),"
        " body = coalesce(?, body), extra = coalesce(?, extra) where seq = ?",
        [(row.version, row.fence, row.shape, row.body, row.extra, row.seq) for _, row in replaces],
    )
    indexed = [(key, row) for key, row in replaces if row.index is not None]
    if indexed:
        connection.executemany(
            "delete from record_index where seq = ?", [(row.seq,) for _, row in indexed]
        )
        insert_index(
            connection, [values for key, row in indexed for values in index_rows(key, row)]
        )


@lru_cache
def _by_keys(size: int) -> str:
    named = ", ".join(["(?, ?, ?)"] * size)
    return (
        f"with named (project, kind, id) as (values {named})"  # noqa: S608
        " select project, kind, id, parent, seq, version, fence"
        " from named cross join record using (project, kind, id)"
    )
