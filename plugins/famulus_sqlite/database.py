"""An open database: its writer, its reader, and what is known of its kinds."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from famulus.clock import Clock
from famulus.kinds import Kinds
from famulus.log import Log
from famulus_sqlite.file import open_transactions
from famulus_sqlite.migrations import apply_migrations
from famulus_sqlite.numbers import Numbers
from famulus_sqlite.reader import Reader, open_reader
from famulus_sqlite.settings import SqliteSettings
from famulus_sqlite.transactions import Transactions
from famulus_sqlite.writer import Writer, running_writer


class Database:
    """The parts that every view of the store shares."""

    def __init__(self, transactions: Transactions, reader: Reader, writer: Writer) -> None:
        self.transactions = transactions
        self.reader = reader
        self.writer = writer
        self.kinds = Kinds()


@asynccontextmanager
async def open_database(
    path: Path, settings: SqliteSettings, *, clock: Clock, log: Log
) -> AsyncIterator[Database]:
    """Lock the file, bring it to today's form, and serve it until left.

    Raises DatabaseError, or one of its kinds, where the file cannot be used.
    """
    async with open_transactions(path, settings, clock=clock) as transactions:
        for title in await apply_migrations(transactions, path):
            log.info("database_migrated", path=str(path), step=title)
        numbers = await transactions.run(Numbers.load)
        # Left last to first: the writer ends its work, and the connection that can write is the
        # last to close, since only such a one can fold the write-ahead log back into the file.
        async with (
            open_reader(
                path,
                point_read_s=settings.point_read_s,
                busy_timeout_s=settings.busy_timeout_s,
                cache_bytes=settings.cache_bytes,
            ) as reader,
            running_writer(
                transactions,
                numbers,
                units_per_batch_max=settings.units_per_batch_max,
                units_waiting_max=settings.units_waiting_max,
                log=log,
            ) as writer,
        ):
            yield Database(transactions, reader, writer)
