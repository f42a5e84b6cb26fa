"""What there is of one project, and how all of it is removed, down to the file's pages."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection

from famulus_schemas.records import Census
from famulus_sqlite.reader import Reader
from famulus_sqlite.transactions import Transactions

_RECORDS = """
select kind, count(*), sum(length(body) + length(extra)) from record where project = ? group by kind
"""
_TRACES = """
select kind, count(*) from (
    select kind from tombstone where project = ?
    union all
    select kind from record_index where project = ? and not exists
        (select 1 from record where record.seq = record_index.seq)
) group by kind
"""


async def census(reader: Reader, project: str) -> Census:
    """What there is of a project."""
    rows = await reader.rows(_RECORDS, (project,))
    traces = await reader.rows(_TRACES, (project, project))
    return Census(
        records={kind: count for kind, count, _ in rows},
        traces=dict(traces),
        bytes=sum(size for _, _, size in rows),
    )


def wipe(connection: sqlite3.Connection, project: str, keep: Collection[str], limit: int) -> int:
    """Remove some of a project; how much was removed."""
    kept = sorted(keep)
    but = f"and kind not in ({', '.join('?' * len(kept))})"
    some = (project, *kept, limit)
    found = connection.execute(
        f"select seq from record where project = ? {but} limit ?",  # noqa: S608 - question marks
        some,
    ).fetchall()
    connection.executemany("delete from record_index where seq = ?", found)
    connection.executemany("delete from record where seq = ?", found)
    stones = connection.execute(
        f"select project, kind, parent, id from tombstone where project = ? {but} limit ?",  # noqa: S608 - question marks
        some,
    ).fetchall()
    connection.executemany(
        "delete from tombstone where project = ? and kind = ? and parent = ? and id = ?", stones
    )
    return len(found) + len(stones)


async def scrub(transactions: Transactions) -> None:
    """Write the file anew without what was removed, and leave nothing in its log."""
    # What readers still look at keeps the log from being cut; they have long ended by the second.
    await transactions.pragma("wal_checkpoint(truncate)")
    await transactions.vacuum()
    await transactions.pragma("wal_checkpoint(truncate)")
