"""Opening the file for writing: it is made, locked, and told how durably it is written."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

from famulus.clock import Clock
from famulus_sqlite.errors import DatabaseError
from famulus_sqlite.lockfile import locked
from famulus_sqlite.schema import pending
from famulus_sqlite.settings import SqliteSettings
from famulus_sqlite.transactions import Transactions


@asynccontextmanager
async def open_transactions(
    path: Path, settings: SqliteSettings, *, clock: Clock
) -> AsyncIterator[Transactions]:
    """The database's one writing connection, locked and set up. Raises DatabaseError.

    A file that is not ours, or too new, is left as it was found.
    """
    _create(path)
    with locked(path, now=clock()):
        transactions = await Transactions.open(path, busy_timeout_s=settings.busy_timeout_s)
        try:
            await _set_up(transactions, path, settings)
            yield transactions
        finally:
            await transactions.close()


def _create(path: Path) -> None:
    if not path.parent.is_dir():
        raise DatabaseError(f"the folder {path.parent} of the database {path.name} does not exist")
    try:
        # SQLite would create it with the umask; what people wrote is theirs alone.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    except OSError as error:
        raise DatabaseError(f"{path} cannot be opened: {error.strerror}") from error


async def _set_up(transactions: Transactions, path: Path, settings: SqliteSettings) -> None:
    try:
        await transactions.run(partial(pending, path=path))
        mode = await transactions.pragma("journal_mode = wal")
    except sqlite3.DatabaseError as error:
        raise DatabaseError(f"{path} cannot be read as a SQLite database: {error}") from error
    if mode != "wal":
        raise DatabaseError(
            f"{path} is on a file system that cannot share memory, which SQLite's write-ahead log "
            "needs (network file systems cannot): choose a local one"
        )
    await transactions.pragma(f"synchronous = {settings.synchronous}")
    await transactions.pragma(f"cache_size = -{settings.cache_bytes // 1024}")
    page_bytes = await transactions.pragma("page_size")
    pages = settings.checkpoint_bytes // page_bytes
    await transactions.pragma(f"wal_autocheckpoint = {pages}")
    await transactions.pragma(f"journal_size_limit = {settings.wal_bytes_max}")
