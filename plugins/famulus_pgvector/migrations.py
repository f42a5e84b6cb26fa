"""The tables, and the numbered steps that make them from any older form."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Final

import asyncpg
import msgspec

from famulus import CannotStart
from famulus_pgvector.sessions import described, first_session, lock_number
from famulus_pgvector.settings import PgvectorSettings


class Unable(CannotStart):
    """The database cannot do what is needed; says what its operator must do."""


class Migration(msgspec.Struct, frozen=True):
    """One step; its number is its place in MIGRATIONS, counted from 1."""

    title: str
    script: str


# Names may hold any character, so they are bytes. Text is not kept, only its words, stemmed; none
# of them is left out, as a query may consist of nothing else.
MIGRATIONS: Final = (
    Migration(
        "stores, documents and chunks",
        """
        create text search dictionary stem (template = pg_catalog.snowball, language = english);
        create text search configuration words (copy = pg_catalog.english);
        alter text search configuration words alter mapping replace english_stem with stem;

        create table store (
            id bigint primary key generated always as identity,
            project bytea not null,
            name bytea not null,
            generation bigint,
            dimensions int not null,
            chunks bigint not null default 0,
            unique (project, name)
        );
        create table document (
            id bigint primary key generated always as identity,
            store bigint not null references store on delete cascade,
            name bytea not null,
            is_listed bool not null default false,
            chunks bigint not null default 0,
            attributes jsonb not null default '{}',
            unique (store, name)
        );
        create table chunk (
            document bigint not null references document on delete cascade,
            number bigint not null,
            store bigint not null,
            embedding vector,
            words tsvector not null,
            primary key (document, number)
        );
        create index chunk_store on chunk (store);
        create index chunk_words on chunk using gin (words);
        """,
    ),
)


class PgvectorMigrations:
    """What `famulus migrate` runs, and the plugin itself when it starts."""

    owner = "pgvector"

    def __init__(
        self, settings: PgvectorSettings, *, steps: Sequence[Migration] = MIGRATIONS
    ) -> None:
        self._settings = settings
        self._steps = steps

    async def pending(self) -> Sequence[str]:
        """Titles of what is not applied yet. Raises Unable or StoreUnavailable."""
        connection = await first_session(self._settings)
        try:
            return [step.title for step in await self._pending(connection)]
        finally:
            connection.terminate()

    async def apply(self) -> Sequence[str]:
        """Apply what is pending, all of it or nothing; the titles of what was applied."""
        connection = await first_session(self._settings)
        try:
            async with asyncio.timeout(self._settings.build_s):
                return [step.title for step in await self._apply(connection)]
        finally:
            connection.terminate()

    async def _apply(self, connection: Any) -> Sequence[Migration]:
        schema = self._settings.schema
        async with connection.transaction():
            await connection.execute(
                "select pg_advisory_xact_lock($1)", lock_number(schema, "migrate")
            )
            await _have_extension(connection)
            if await connection.fetchval("select to_regnamespace($1) is null", schema):
                create = await connection.fetchval(
                    "select format('create schema %I', $1::text)", schema
                )
                await connection.execute(create)
            await set_path(connection, schema)
            await connection.execute(
                "create table if not exists meta (name text primary key, value bigint not null)"
            )
            steps = await self._pending(connection)
            for step in steps:
                await connection.execute(step.script)
            if steps:
                await connection.execute(
                    "insert into meta (name, value) values ('schema_version', $1) "
                    "on conflict (name) do update set value = excluded.value",
                    len(self._steps),
                )
        return steps

    async def _pending(self, connection: Any) -> Sequence[Migration]:
        version = 0
        schema = self._settings.schema
        if await connection.fetchval(
            "select exists (select from pg_tables where schemaname = $1 and tablename = 'meta')",
            schema,
        ):
            await set_path(connection, schema)
            version = await connection.fetchval(
                "select coalesce(max(value), 0) from meta where name = 'schema_version'"
            )
        if version > len(self._steps):
            raise Unable(
                f"schema {schema} has form {version}, and this version of the server knows up to "
                f"{len(self._steps)}: install the later version again, or drop the schema, which "
                "is made anew from the records"
            )
        return self._steps[version:]


async def set_path(connection: Any, schema: str) -> None:
    """Have names mean our tables, and then what pgvector has brought."""
    await connection.execute(
        "select set_config('search_path', concat_ws(', ', quote_ident($1), (select quote_ident("
        "n.nspname) from pg_extension e join pg_namespace n on n.oid = e.extnamespace "
        "where e.extname = 'vector')), false)",
        schema,
    )


async def _have_extension(connection: Any) -> None:
    """Have pgvector in the database. Raises Unable."""
    version = await connection.fetchval(
        "select extversion from pg_extension where extname = 'vector'"
    )
    if version is None:
        try:
            async with connection.transaction():
                await connection.execute("create extension if not exists vector")
        except asyncpg.InsufficientPrivilegeError as error:
            raise Unable(
                "the database lacks the extension pgvector, and this user may not add it: have a "
                "superuser run `create extension vector` there"
            ) from error
        except asyncpg.PostgresError as error:
            raise Unable(
                "the database's server lacks pgvector: install it there (package "
                f"postgresql-NN-pgvector), or use another provider of vectors ({described(error)})"
            ) from error
        version = await connection.fetchval(
            "select extversion from pg_extension where extname = 'vector'"
        )
    if tuple(int(part) for part in version.split(".")[:2]) < (0, 5):
        raise Unable(
            f"the database has pgvector {version}, and 0.5 is needed: have a newer one installed, "
            "and run `alter extension vector update` there"
        )
