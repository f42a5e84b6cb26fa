"""The stores under test: how a server is told of them, and what lies in them."""

from __future__ import annotations

import asyncio
import os
import secrets
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import asyncpg
import msgspec

LOCAL_POSTGRES = "postgresql://postgres@127.0.0.1:5432/test"
LIVE = ("queued", "in_progress", "cancelling")

_RECORDS = "select project, kind, id, parent, seq, body from record order by seq"
_INDEX = "select project, kind, id, name, value from record_index"
_OPEN = """
select r.body from record a
join record r on r.project = a.project and r.kind = 'run' and r.parent = a.id
where a.kind = 'active_run'
"""
_WORKERS = "select count(*) from record where kind = 'worker'"


@dataclass
class Row:
    """One record as it lies in the store."""

    project: str
    kind: str
    id: str
    parent: str
    seq: int
    body: bytes
    index: dict[str, str] = field(default_factory=dict)


@dataclass
class Dump:
    """All that lies in a store at one moment."""

    rows: dict[tuple[str, str, str], Row]
    loose: list[tuple[str, ...]]
    """Index values without a record."""
    trouble: str = ""
    """What the database itself says is wrong with it."""

    def of(self, kind: str) -> list[Row]:
        """The records of a kind, in their order."""
        return [row for row in self.rows.values() if row.kind == kind]


POOL_MAX = "4"
"""Connections of a server for reads. Several servers are killed at once, what they had open stays
for a while, and the usual PostgreSQL takes a hundred in all."""


class Store(Protocol):
    """What the tests want of a store."""

    name: str
    servers: int
    """How many processes serve it."""

    def environment(self, number: int) -> dict[str, str]:
        """What tells a server of it."""
        ...

    async def dump(self) -> Dump:
        """All that lies in it."""
        ...

    async def live(self) -> list[tuple[str, str]]:
        """Id and status of the runs that are not at rest."""
        ...

    async def workers(self) -> int:
        """How many processes are taken to be at work."""
        ...

    async def remove(self) -> None:
        """Leave nothing behind."""
        ...


def _dump(rows: Sequence[Any], index: Sequence[Any], trouble: str) -> Dump:
    dump = Dump({tuple(row[:3]): Row(*row) for row in rows}, [], trouble)
    for project, kind, id, name, value in index:
        row = dump.rows.get((project, kind, id))
        if row is None:
            dump.loose.append((project, kind, id, name, value))
        else:
            row.index[name] = value
    return dump


def _live(bodies: Sequence[bytes]) -> list[tuple[str, str]]:
    runs = [msgspec.json.decode(body) for body in bodies]
    return [(run["id"], run["status"]) for run in runs if run["status"] in LIVE]


class SqliteFile:
    """One file, one process."""

    name = "sqlite"
    servers = 1

    def __init__(self, folder: Path) -> None:
        self.path = folder / "records.sqlite3"

    def environment(self, number: int) -> dict[str, str]:
        return {"FAMULUS_SQLITE__PATH": str(self.path)}

    async def dump(self) -> Dump:
        return await asyncio.to_thread(self._dump)

    def _dump(self) -> Dump:
        connection = self._open()
        try:
            connection.execute("begin")
            rows, index = self._all(connection, _RECORDS), self._all(connection, _INDEX)
            (trouble,) = self._all(connection, "pragma quick_check(1)")[0]
            return _dump(rows, index, "" if trouble == "ok" else trouble)
        finally:
            connection.close()

    async def live(self) -> list[tuple[str, str]]:
        return _live([body for (body,) in await asyncio.to_thread(self._fetch, _OPEN)])

    async def workers(self) -> int:
        return int((await asyncio.to_thread(self._fetch, _WORKERS))[0][0])

    def _fetch(self, statement: str) -> list[Any]:
        connection = self._open()
        try:
            return self._all(connection, statement)
        finally:
            connection.close()

    def _open(self) -> sqlite3.Connection:
        return sqlite3.connect(f"{self.path.as_uri()}?mode=ro", uri=True, timeout=10)

    def _all(self, connection: sqlite3.Connection, statement: str) -> list[Any]:
        return connection.execute(statement).fetchall()

    async def remove(self) -> None:
        return


class PostgresSchema:
    """A schema of its own in a server that is there, and two processes."""

    name = "postgres"
    servers = 2

    def __init__(self) -> None:
        self.dsn = os.environ.get("FAMULUS_TEST_POSTGRES") or LOCAL_POSTGRES
        self.schema = f"crash_{secrets.token_hex(6)}"

    async def is_there(self) -> bool:
        """Whether there is a server to test with."""
        try:
            await self._fetch("select 1")
        except (OSError, asyncpg.PostgresError):
            return False
        return True

    def environment(self, number: int) -> dict[str, str]:
        return {
            "FAMULUS_POSTGRES__DSN": self.dsn,
            "FAMULUS_POSTGRES__SCHEMA": self.schema,
            "FAMULUS_POSTGRES__POOL_MAX": POOL_MAX,
        }

    async def dump(self) -> Dump:
        connection = await asyncpg.connect(self.dsn, timeout=10)
        try:
            await connection.execute(f"set search_path to {self.schema}")
            async with connection.transaction(isolation="repeatable_read", readonly=True):
                rows = await connection.fetch(_RECORDS)
                index = await connection.fetch(_INDEX)
            return _dump(rows, index, "")
        finally:
            await connection.close()

    async def live(self) -> list[tuple[str, str]]:
        return _live([body for (body,) in await self._fetch(_OPEN)])

    async def workers(self) -> int:
        return int((await self._fetch(_WORKERS))[0][0])

    async def remove(self) -> None:
        await self._fetch(f"drop schema if exists {self.schema} cascade")

    async def _fetch(self, statement: str) -> Sequence[Any]:
        connection = await asyncpg.connect(self.dsn, timeout=10)
        try:
            await connection.execute(f"set search_path to {self.schema}")
            rows: Sequence[Any] = await connection.fetch(statement)
            return rows
        finally:
            await connection.close()
