"""What there is of one project, and how all of it is removed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from typing import Any, Final

from famulus_postgres.failures import UNREACHABLE, described
from famulus_postgres.sessions import Sessions
from famulus_schemas.records import Census, StoreUnavailable

_RECORDS: Final = """
select kind, count(*), sum(length(body) + length(extra))::bigint
from record where project = $1 group by kind
"""
_TRACES: Final = """
select kind, count(*) from (
    select kind from tombstone where project = $1
    union all
    select kind from record_index i where project = $1 and not exists
        (select from record r where (r.id, r.kind, r.project) = (i.id, i.kind, i.project))
) as trace group by kind
"""
_SOME: Final = """
select id, kind from record where project = $1 and kind <> all($2::text[]) limit $3
"""
_VALUES_OF: Final = """
delete from record_index
where project = $1 and (id, kind) in (select * from unnest($2::text[], $3::text[]))
"""
_THOSE: Final = """
delete from record
where project = $1 and (id, kind) in (select * from unnest($2::text[], $3::text[]))
"""
_STONES: Final = """
with gone as (
    delete from tombstone where ctid = any(array(
        select ctid from tombstone where project = $1 and kind <> all($2::text[]) limit $3
    )) returning 1
)
select count(*) from gone
"""
TABLES: Final = ("record", "record_index", "tombstone")


async def census(sessions: Sessions, project: str) -> Census:
    """What there is of a project."""
    async with _own(sessions) as connection:
        rows = await connection.fetch(_RECORDS, project)
        traces = await connection.fetch(_TRACES, project)
    return Census(
        records={kind: count for kind, count, _ in rows},
        traces=dict(map(tuple, traces)),
        bytes=sum(size for _, _, size in rows),
    )


async def wipe(sessions: Sessions, project: str, keep: Collection[str], limit: int) -> int:
    """Remove some of a project; how much was removed."""
    kept = sorted(keep)
    async with _own(sessions) as connection, connection.transaction():
        rows = await connection.fetch(_SOME, project, kept, limit)
        keys = project, [id for id, _ in rows], [kind for _, kind in rows]
        await connection.execute(_VALUES_OF, *keys)
        await connection.execute(_THOSE, *keys)
        stones: int = await connection.fetchval(_STONES, project, kept, limit)
    return len(rows) + stones


async def scrub(sessions: Sessions) -> None:
    """Have the pages of removed rows used again. Copies elsewhere are beyond its reach."""
    async with _own(sessions) as connection:
        for table in TABLES:
            await connection.execute(f"vacuum {table}")


@asynccontextmanager
async def _own(sessions: Sessions) -> AsyncIterator[Any]:
    """A session for what looks at whole tables. Raises StoreUnavailable."""
    try:
        connection = await sessions.open()
        try:
            await connection.execute("set statement_timeout = 0")
            # The sessions of requests may not; nothing else finds all of a project.
            for way in ("seqscan", "hashjoin", "bitmapscan"):
                await connection.execute(f"set enable_{way} = on")
            yield connection
        finally:
            connection.terminate()
    except UNREACHABLE as error:
        raise StoreUnavailable(f"PostgreSQL cannot be used: {described(error)}") from error
