"""What `famulus migrate` runs, and the server itself when it starts."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from famulus.clock import Clock
from famulus_sqlite.file import open_transactions
from famulus_sqlite.schema import migrate, pending
from famulus_sqlite.settings import SqliteSettings
from famulus_sqlite.transactions import Transactions


async def apply_migrations(transactions: Transactions, path: Path) -> Sequence[str]:
    """Bring the database to the form that this version knows; the titles of the steps."""
    return [step.title for step in await transactions.run(partial(migrate, path=path))]


class SqliteMigrations:
    """What `famulus migrate` runs; opens the database for itself."""

    owner = "sqlite"

    def __init__(self, path: Path, settings: SqliteSettings, *, clock: Clock) -> None:
        self._path = path
        self._settings = settings
        self._clock = clock

    async def pending(self) -> Sequence[str]:
        """Titles of the steps that are lacking. Raises DatabaseError where it is not ours."""
        connection = sqlite3.connect(":memory:") if not self._path.exists() else _peek(self._path)
        try:
            return [step.title for step in pending(connection, self._path)]
        finally:
            connection.close()

    async def apply(self) -> Sequence[str]:
        """Take the lacking steps. Raises DatabaseInUse while a server runs on the file."""
        if not await self.pending():
            return []
        async with open_transactions(self._path, self._settings, clock=self._clock) as transactions:
            return await apply_migrations(transactions, self._path)


def _peek(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
