"""Reading: single rows on the event loop under a guard, all else one hop away.

A row found by its key takes a few microseconds, a hop to a thread many times that. So it is read
where it is asked for, but under a guard: what takes long is given up there and read in a thread.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiosqlite

from famulus_sqlite.transactions import uri_of

_STEPS_PER_CHECK = 4
"""Steps of SQLite's machine between two looks at the clock; a row by key takes about 20."""

_NOT_HERE = frozenset(
    {sqlite3.SQLITE_INTERRUPT, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_SCHEMA}
)


class Slow(Exception):
    """The read took too long, or would have had to wait, and was given up."""


class LoopReader:
    """Reads on the calling thread, each for a bounded time."""

    def __init__(self, connection: sqlite3.Connection, *, point_read_s: float) -> None:
        self._connection = connection
        self._point_read_s = point_read_s
        self._deadline = 0.0
        connection.set_progress_handler(self._is_late, _STEPS_PER_CHECK)

    @classmethod
    def open(cls, path: Path, *, point_read_s: float, cache_bytes: int) -> LoopReader:
        """Open an existing database for reading. Never waits for a lock."""
        connection = sqlite3.connect(
            uri_of(path, mode="ro"), uri=True, isolation_level=None, timeout=0
        )
        connection.execute(f"pragma cache_size = -{cache_bytes // 1024}")
        return cls(connection, point_read_s=point_read_s)

    def row(self, statement: str, values: Sequence[Any]) -> Any:
        """The first row, or None. Raises Slow where it is not there in time."""
        self._deadline = time.monotonic() + self._point_read_s
        try:
            return self._connection.execute(statement, values).fetchone()
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF in _NOT_HERE:
                raise Slow from error
            raise

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def _is_late(self) -> bool:
        return time.monotonic() > self._deadline


class Reader:
    """Reads of a database: `row` by key, `rows` of any number."""

    def __init__(self, here: LoopReader, away: aiosqlite.Connection) -> None:
        self.here = here
        self._away = away

    async def row(self, statement: str, values: Sequence[Any]) -> Any:
        """The first row, or None; for statements that go by a key."""
        try:
            return self.here.row(statement, values)
        except Slow:
            rows = await self.rows(statement, values)
            return rows[0] if rows else None

    async def rows(self, statement: str, values: Sequence[Any]) -> list[Any]:
        """All rows, in one hop: the read is over, and holds up no checkpoint, when they come."""
        return list(await self._away.execute_fetchall(statement, values))


@asynccontextmanager
async def open_reader(
    path: Path, *, point_read_s: float, busy_timeout_s: float, cache_bytes: int
) -> AsyncIterator[Reader]:
    """Read an existing database until left."""
    async with aiosqlite.connect(
        uri_of(path, mode="ro"), uri=True, isolation_level=None, timeout=busy_timeout_s
    ) as away:
        await away.execute_fetchall(f"pragma cache_size = -{cache_bytes // 1024}")
        here = LoopReader.open(path, point_read_s=point_read_s, cache_bytes=cache_bytes)
        try:
            yield Reader(here, away)
        finally:
            here.close()
