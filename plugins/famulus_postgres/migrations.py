"""The tables, and the numbered steps that make them from any older form."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from famulus import CannotStart
from famulus.failpoints import failpoint
from famulus_postgres.locks import lock_number
from famulus_postgres.sessions import Sessions
from famulus_postgres.settings import PostgresSettings


class DatabaseTooNew(CannotStart):
    """A later version of the server wrote the database."""


class Migration(msgspec.Struct, frozen=True):
    """One step; its number is its place in MIGRATIONS, counted from 1."""

    title: str
    script: str


# Keys are compared byte by byte ("C"): any other collation is slower, and its order can change
# with the system's libraries, which would leave the indexes wrong.
#
# No two indexes of a table can serve one statement: they start with different columns, and those
# for scans with an expression that only scans use. The planner would otherwise choose by what it
# knows of a table that is still empty, and keep to its choice while the table fills.
MIGRATIONS: Final = (
    Migration(
        "records, their index values, tombstones and kinds",
        """
        create sequence record_seq as bigint;

        create table record (
            project text collate "C" not null,
            kind text collate "C" not null,
            id text collate "C" not null,
            parent text collate "C" not null,
            seq bigint not null,
            version bigint not null,
            fence bigint not null,
            created_at bigint not null,
            shape bigint not null,
            body bytea not null,
            extra bytea not null,
            primary key (id, kind, project)
        );
        create index record_list on record (parent, kind, project, seq);
        create index record_scan on record ((kind || ''), seq);

        create table record_index (
            project text collate "C" not null,
            kind text collate "C" not null,
            id text collate "C" not null,
            name text collate "C" not null,
            value text collate "C" not null,
            parent text collate "C" not null,
            seq bigint not null,
            primary key (id, kind, project, name)
        );
        create index record_index_list on record_index
            (parent, kind, project, name, value, seq);
        create index record_index_scan on record_index ((kind || ''), name, value, seq);

        create table tombstone (
            project text collate "C" not null,
            kind text collate "C" not null,
            parent text collate "C" not null,
            id text collate "C" not null,
            seq bigint not null,
            primary key (project, kind, parent, id)
        );

        create table kind (
            kind text collate "C" not null,
            name text collate "C" not null,
            primary key (kind, name)
        );
        """,
    ),
)

_VERSION: Final = "select value from meta where name = 'schema_version'"
_SET_VERSION: Final = """
insert into meta (name, value) values ('schema_version', $1)
on conflict (name) do update set value = excluded.value
"""


class PostgresMigrations:
    """What `famulus migrate` runs, and the store itself when it starts."""

    owner = "postgres"

    def __init__(
        self, settings: PostgresSettings, *, steps: Sequence[Migration] = MIGRATIONS
    ) -> None:
        self._settings = settings
        self._steps = steps

    async def pending(self) -> Sequence[str]:
        """Titles of what is not applied yet. Raises DatabaseTooNew or StoreUnavailable."""
        connection = await Sessions(self._settings).first()
        try:
            return [step.title for step in await self._pending(connection)]
        finally:
            connection.terminate()

    async def apply(self) -> Sequence[str]:
        """Apply what is pending, all of it or nothing; the titles of what was applied.

        Of several processes that start at once, one does it and the others wait for it.
        """
        connection = await Sessions(self._settings).first()
        try:
            async with asyncio.timeout(self._settings.migrate_s):
                return [step.title for step in await self._apply(connection)]
        finally:
            connection.terminate()

    async def _apply(self, connection: Any) -> Sequence[Migration]:
        async with connection.transaction(isolation="read_committed"):
            await connection.execute("set local statement_timeout = 0")
            await connection.execute(
                "select pg_advisory_xact_lock($1)", lock_number(self._settings.schema, "migrate")
            )
            await self._create_schema(connection)
            steps = await self._pending(connection)
            for step in steps:
                await connection.execute(step.script)
                failpoint("postgres_migrating")
            if steps:
                await connection.execute(_SET_VERSION, len(self._steps))
        return steps

    async def _create_schema(self, connection: Any) -> None:
        schema = self._settings.schema
        # Asked first: to create one takes a permission that its owner may not have, even where
        # `if not exists` finds it there.
        if await connection.fetchval("select to_regnamespace($1) is null", schema):
            create = await connection.fetchval(
                "select format('create schema %I', $1::text)", schema
            )
            await connection.execute(create)
        await connection.execute(
            "create table if not exists meta (name text primary key, value bigint not null)"
        )

    async def _pending(self, connection: Any) -> Sequence[Migration]:
        version = 0
        if await connection.fetchval(
            "select exists (select from pg_tables where schemaname = $1 and tablename = 'meta')",
            self._settings.schema,
        ):
            version = await connection.fetchval(_VERSION) or 0
        if version > len(self._steps):
            raise DatabaseTooNew(
                f"schema {self._settings.schema} of {Sessions(self._settings).place} has form "
                f"{version}, and this version of the server knows up to {len(self._steps)}: "
                "install the later version again, or restore a backup made before it ran"
            )
        return self._steps[version:]
