"""Write transactions: whole functions, run on the writer's connection for one hop each."""

from __future__ import annotations

import sqlite3
from collections import deque
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypeVar

import aiosqlite

from famulus.failpoints import failpoint

T = TypeVar("T")


def uri_of(path: Path, *, mode: Literal["ro", "rw"]) -> str:
    """The file as SQLite's URI: it must exist, and no character of its name means anything."""
    return f"{path.absolute().as_uri()}?mode={mode}"


Work = Callable[[sqlite3.Connection], None]


class WorkConnection(sqlite3.Connection):
    """A connection whose `commit` first does the work that waits for it.

    aiosqlite hops to its thread for every statement, which costs more than the statement. Its
    `commit` is one hop too; so the whole transaction is put in there.
    """

    def __init__(self, works: deque[Work], *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._works = works

    def commit(self) -> None:
        """Begin, do the next waiting work, commit; roll back if any of it raises."""
        work = self._works.popleft()
        self.execute("begin immediate")
        failpoint("sqlite_begun")
        try:
            work(self)
            failpoint("sqlite_before_commit")
            self.execute("commit")
            failpoint("sqlite_committed")
        except BaseException:
            # After some errors SQLite has rolled back already.
            if self.in_transaction:
                self.execute("rollback")
            raise


class Transactions:
    """The one writing connection of a database."""

    def __init__(self, connection: aiosqlite.Connection, works: deque[Work]) -> None:
        self._connection = connection
        self._works = works

    @classmethod
    async def open(cls, path: Path, *, busy_timeout_s: float) -> Transactions:
        """Open the file for reading and writing; it must exist."""
        works: deque[Work] = deque()
        connection = await aiosqlite.connect(
            uri_of(path, mode="rw"),
            uri=True,
            isolation_level=None,
            timeout=busy_timeout_s,
            cached_statements=256,
            factory=partial(WorkConnection, works),
        )
        return cls(connection, works)

    async def run(self, function: Callable[[sqlite3.Connection], T]) -> T:
        """Call the function inside a transaction and commit; what it returned.

        Runs to its end even where the caller is cancelled. Calls run in the order in which they
        were made: one `commit` is queued for each work, in the same order.
        """
        results: list[T] = []
        self._works.append(lambda connection: results.append(function(connection)))
        await self._connection.commit()
        return results[0]

    async def pragma(self, statement: str) -> Any:
        """Run a pragma outside any transaction; the first value that it answers, or None."""
        rows = list(await self._connection.execute_fetchall(f"pragma {statement}"))
        return rows[0][0] if rows else None

    async def vacuum(self) -> None:
        """Write the whole file anew; every other transaction waits for it."""
        await self._connection.execute_fetchall("vacuum")

    async def close(self) -> None:
        """Wait for what was begun, and close."""
        await self._connection.close()
