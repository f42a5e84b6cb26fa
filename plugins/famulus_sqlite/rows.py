"""A batch's rows: reading the ones that it names, and writing what it comes to.

Every statement takes many rows at once. Each step of a statement lets go of the interpreter's
lock and has to win it back from a busy event loop, so a batch should have few.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Any

from famulus.units import Effect, Key, Parent, Row

_SIZES = (64, 32, 16, 8, 4, 2, 1)
"""Rows a statement takes: few sizes, so that all statements stay prepared."""


def read_rows(connection: sqlite3.Connection, keys: Sequence[Key]) -> dict[Key, Row]:
    """The stored rows of these keys, without what judging does not need."""
    found: dict[Key, Row] = {}
    for statement, values in _statements(
        "with named (project, kind, id) as (values ",
        "(?, ?, ?)",
        ") select project, kind, id, parent, seq, version, fence"
        " from named cross join record using (project, kind, id)",
        keys,
    ):
        for project, kind, id, parent, seq, version, fence in connection.execute(statement, values):
            found[project, kind, id] = Row(parent=parent, seq=seq, version=version, fence=fence)
    return found


def write_effect(connection: sqlite3.Connection, effect: Effect) -> None:
    """Write a judged batch, in the order that `Effect` asks for."""
    for parent in effect.clears:
        _clear(connection, parent)
    _delete(connection, [row.seq for _, row in effect.deletes])
    _bury(connection, effect)
    _insert(connection, effect.inserts)
    _replace(connection, effect.replaces)


def index_rows(key: Key, row: Row) -> Iterator[tuple[Any, ...]]:
    """A record's rows of `record_index`."""
    project, kind, id = key
    for name, value in (row.index or {}).items():
        yield row.seq, name, value, project, kind, row.parent, id


def insert_index(connection: sqlite3.Connection, rows: Sequence[tuple[Any, ...]]) -> None:
    """Add index values; ones that are there already stay."""
    _execute(
        connection,
        "insert or ignore into record_index (seq, name, value, project, kind, parent, id) values ",
        "(?, ?, ?, ?, ?, ?, ?)",
        "",
        rows,
    )


def _clear(connection: sqlite3.Connection, parent: Parent) -> None:
    for table in ("record_index", "record", "tombstone"):
        connection.execute(
            f"delete from {table} where project = ? and kind = ? and parent = ?",  # noqa: S608
            parent,
        )


def _delete(connection: sqlite3.Connection, seqs: Sequence[int]) -> None:
    rows = [(seq,) for seq in seqs]
    _execute(connection, "delete from record where seq in (values ", "(?)", ")", rows)
    _execute(connection, "delete from record_index where seq in (values ", "(?)", ")", rows)


def _bury(connection: sqlite3.Connection, effect: Effect) -> None:
    _execute(
        connection,
        "insert or replace into tombstone (project, kind, parent, id, seq) values ",
        "(?, ?, ?, ?, ?)",
        "",
        [(*key, seq) for key, seq in effect.tombstones.items()],
    )


def _insert(connection: sqlite3.Connection, inserts: Sequence[tuple[Key, Row]]) -> None:
    _execute(
        connection,
        "insert into record (seq, project, kind, id, parent, version, fence, created_at, shape,"
        " body, extra) values ",
        "(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        "",
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
    insert_index(connection, [values for key, row in inserts for values in index_rows(key, row)])


def _replace(connection: sqlite3.Connection, replaces: Sequence[tuple[Key, Row]]) -> None:
    if not replaces:
        return
    connection.executemany(
        "update record set version = ?, fence = ?, shape = coalesce(?, shape),"
        " body = coalesce(?, body), extra = coalesce(?, extra) where seq = ?",
        [(row.version, row.fence, row.shape, row.body, row.extra, row.seq) for _, row in replaces],
    )
    indexed = [(key, row) for key, row in replaces if row.index is not None]
    _execute(
        connection,
        "delete from record_index where seq in (values ",
        "(?)",
        ")",
        [(row.seq,) for _, row in indexed],
    )
    insert_index(connection, [values for key, row in indexed for values in index_rows(key, row)])


def _execute(
    connection: sqlite3.Connection,
    before: str,
    row: str,
    after: str,
    rows: Sequence[tuple[Any, ...]],
) -> None:
    for statement, values in _statements(before, row, after, rows):
        connection.execute(statement, values)


def _statements(
    before: str, row: str, after: str, rows: Sequence[tuple[Any, ...]]
) -> Iterator[tuple[str, list[Any]]]:
    start = 0
    for size in _SIZES:
        while len(rows) - start >= size:
            part: Iterable[tuple[Any, ...]] = rows[start : start + size]
            yield _statement(before, row, after, size), [value for r in part for value in r]
            start += size


@lru_cache(maxsize=128)
def _statement(before: str, row: str, after: str, size: int) -> str:
    return before + ", ".join([row] * size) + after
