"""The tables, and the numbered steps that make them from any older form.

`seq` is the primary key of a record: rows are then written at the end of their table, and an
index ends in `seq` without naming it, which is what keyset pages are read by.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path

import msgspec

from famulus.failpoints import failpoint
from famulus_sqlite.errors import DatabaseError, DatabaseTooNew


class Migration(msgspec.Struct, frozen=True):
    """One step; its number is its place in MIGRATIONS, counted from 1."""

    title: str
    statements: tuple[str, ...]


MIGRATIONS: tuple[Migration, ...] = (
    Migration(
        "records, their index values, tombstones and kinds",
        (
            """
            create table record (
                seq integer primary key,
                project text not null,
                kind text not null,
                id text not null,
                parent text not null,
                version integer not null,
                fence integer not null,
                created_at integer not null,
                shape integer not null,
                body blob not null,
                extra blob not null
            )
            """,
            "create unique index record_key on record (project, kind, id)",
            "create index record_list on record (project, kind, parent)",
            "create index record_scan on record (kind)",
            """
            create table record_index (
                seq integer not null,
                name text not null,
                value text not null,
                project text not null,
                kind text not null,
                parent text not null,
                id text not null,
                primary key (seq, name)
            ) without rowid
            """,
            """
            create index record_index_list
            on record_index (project, kind, parent, name, value, seq)
            """,
            "create index record_index_scan on record_index (kind, name, value, seq)",
            """
            create table tombstone (
                project text not null,
                kind text not null,
                parent text not null,
                id text not null,
                seq integer not null,
                primary key (project, kind, parent, id)
            ) without rowid
            """,
            """
            create table kind (
                kind text not null,
                name text not null,
                primary key (kind, name)
            ) without rowid
            """,
            # No record ever got a seq above this one.
            "insert into meta (name, value) values ('seq_reserved', 0)",
        ),
    ),
)

VERSION = len(MIGRATIONS)


def pending(connection: sqlite3.Connection, path: Path) -> Sequence[Migration]:
    """The steps that the database lacks. Raises DatabaseTooNew or DatabaseError."""
    version = _version(connection, path)
    if version > VERSION:
        raise DatabaseTooNew(
            f"{path} has form {version}, and this version of the server knows up to {VERSION}: "
            "install the later version again, or restore a backup made before it ran"
        )
    return MIGRATIONS[version:]


def migrate(connection: sqlite3.Connection, path: Path) -> Sequence[Migration]:
    """Take every step that is lacking, within the caller's transaction; the steps taken."""
    steps = pending(connection, path)
    connection.execute(
        "create table if not exists meta (name text primary key, value integer not null)"
    )
    for step in steps:
        for statement in step.statements:
            connection.execute(statement)
    failpoint("sqlite_migrating")
    connection.execute(
        "insert into meta (name, value) values ('schema', ?)"
        " on conflict (name) do update set value = excluded.value",
        (VERSION,),
    )
    return steps


def _version(connection: sqlite3.Connection, path: Path) -> int:
    tables = {name for (name,) in connection.execute("select name from sqlite_master")}
    if tables and "meta" not in tables:
        raise DatabaseError(f"{path} is a SQLite database, but not one of this server's")
    if not tables:
        return 0
    row = connection.execute("select value from meta where name = 'schema'").fetchone()
    return row[0] if row else 0
