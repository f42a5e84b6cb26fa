"""Filling in index values of records that were written before their kind had the names."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import Any

from famulus_postgres import statements
from famulus_postgres.locks import lock_number
from famulus_postgres.reader import record_of
from famulus_postgres.sessions import Sessions
from famulus_postgres.settings import PostgresSettings
from famulus_postgres.texts import indexed
from famulus_schemas.records import Kind, Record

RECORDS_PER_FILL_MAX = 500


async def fill(sessions: Sessions, settings: PostgresSettings, kinds: Sequence[Kind]) -> None:
    """Make the kinds' names stand for all of their records, a part of them a transaction.

    A name counts as filled once the last part is written, so that a fill that was broken off is
    done again. What a kind no longer declares stops counting as filled, as it is not kept up
    any more; its values stay, for other processes may still declare it.
    """
    connection = await sessions.open()
    try:
        async with asyncio.timeout(settings.migrate_s):
            for kind in kinds:
                await _fill_kind(connection, settings.schema, kind)
    finally:
        connection.terminate()


async def _fill_kind(connection: Any, schema: str, kind: Kind) -> None:
    if await _filled(connection, kind) == set(kind.indexes):
        return
    # One process fills at a time, and the others wait for it; closing the session unlocks.
    await connection.execute("set statement_timeout = 0")
    await connection.execute(statements.LOCK_FILL, lock_number(schema, "fill"))
    filled = await _filled(connection, kind)
    await connection.execute(
        statements.FORGET_NAMES, kind.name, list(filled.difference(kind.indexes))
    )
    names = set(kind.indexes) - filled
    if names:
        await _fill_names(connection, kind, names)
        await connection.execute(statements.REMEMBER_NAMES, kind.name, list(names))


async def _filled(connection: Any, kind: Kind) -> set[str]:
    return {name for (name,) in await connection.fetch(statements.FILLED_NAMES, kind.name)}


async def _fill_names(connection: Any, kind: Kind, names: set[str]) -> None:
    seq: int | None = 0
    while seq is not None:
        async with connection.transaction(isolation="read_committed"):
            rows = await connection.fetch(
                statements.FILL_READ, kind.name, seq, RECORDS_PER_FILL_MAX
            )
            records = [record_of(row["project"], kind.name, *row[1:]) for row in rows]
            values = list(_values(kind, names, records))
            if values:
                columns = [list(column) for column in zip(*values, strict=True)]
                await connection.execute(statements.FILL_WRITE, *columns)
        seq = max((record.seq for record in records), default=None)


def _values(kind: Kind, names: set[str], records: Iterable[Record]) -> Iterable[tuple[Any, ...]]:
    assert kind.index_of is not None
    for record in records:
        for name, value in kind.index_of(record).items():
            if name in names:
                yield (
                    record.project,
                    record.kind,
                    record.id,
                    name,
                    indexed(value),
                    record.parent,
                    record.seq,
                )
