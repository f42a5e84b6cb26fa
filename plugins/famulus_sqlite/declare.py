"""Filling in index values of records that were written before their kind had the names."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from functools import partial

from famulus.units import Row
from famulus_schemas.records import Kind
from famulus_sqlite.pages import COLUMNS, record_of
from famulus_sqlite.rows import IndexRow, index_rows, insert_index
from famulus_sqlite.transactions import Transactions


async def fill(transactions: Transactions, kind: Kind, *, records_per_fill_max: int) -> None:
    """Make the kind's names stand for all of its records, a part of them a transaction.

    A name counts as filled once the last part is written, so that a fill that was broken off is
    done again. What the kind no longer declares is forgotten, as it is not kept up any more.
    """
    names = await transactions.run(partial(_new_names, kind=kind))
    seq: int | None = 0
    while names and seq is not None:
        part = partial(_fill_part, kind=kind, names=names, after=seq, limit=records_per_fill_max)
        seq = await transactions.run(part)
    if names:
        await transactions.run(partial(_remember, kind=kind, names=names))


def _new_names(connection: sqlite3.Connection, kind: Kind) -> frozenset[str]:
    found = connection.execute("select name from kind where kind = ?", (kind.name,))
    filled = {name for (name,) in found}
    for name in filled.difference(kind.indexes):
        connection.execute("delete from kind where kind = ? and name = ?", (kind.name, name))
        connection.execute(
            "delete from record_index where kind = ? and name = ?", (kind.name, name)
        )
    return frozenset(kind.indexes) - filled


def _fill_part(
    connection: sqlite3.Connection, kind: Kind, *, names: frozenset[str], after: int, limit: int
) -> int | None:
    """Fill the next records; the seq of the last, or None where there were no more."""
    rows = connection.execute(
        f"select {COLUMNS} from record where kind = ? and seq > ? order by seq limit ?",  # noqa: S608
        (kind.name, after, limit),
    ).fetchall()
    assert kind.index_of is not None
    values: list[IndexRow] = []
    for row in rows:
        record = record_of(row)
        index = {name: value for name, value in kind.index_of(record).items() if name in names}
        stored = Row(parent=record.parent, seq=record.seq, version=0, fence=0, index=index)
        values += index_rows((record.project, record.kind, record.id), stored)
    insert_index(connection, values)
    return rows[-1][4] if rows else None


def _remember(connection: sqlite3.Connection, kind: Kind, names: Iterable[str]) -> None:
    connection.executemany(
        "insert or ignore into kind (kind, name) values (?, ?)",
        [(kind.name, name) for name in names],
    )
