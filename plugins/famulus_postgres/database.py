"""An open database: its writer, its readers, and what is known of its kinds."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from famulus.kinds import Kinds
from famulus.log import Log
from famulus_postgres import statements
from famulus_postgres.migrations import PostgresMigrations
from famulus_postgres.pool import Pool
from famulus_postgres.reader import Reader
from famulus_postgres.sessions import Sessions
from famulus_postgres.settings import PostgresSettings
from famulus_postgres.writer import Writer, running_writer
from famulus_schemas.health import Health
from famulus_schemas.records import StoreUnavailable


class Database:
    """The parts that every view of the store shares."""

    def __init__(
        self,
        settings: PostgresSettings,
        sessions: Sessions,
        pool: Pool,
        reader: Reader,
        writer: Writer,
    ) -> None:
        self.settings = settings
        self.sessions = sessions
        self.pool = pool
        self.reader = reader
        self.writer = writer
        self.kinds = Kinds()

    async def health(self) -> Health:
        """Whether records can be read and written, and whether they outlive a power cut."""
        if self.writer.down:
            return Health(status="down", detail=self.writer.down)
        try:
            rows = await self.reader.fetch(statements.IS_FSYNC_ON)
        except StoreUnavailable as error:
            return Health(status="down", detail=str(error))
        if not rows[0][0]:
            return Health(
                status="degraded",
                detail="PostgreSQL runs with fsync off: a power cut loses what was acknowledged",
            )
        return Health()


@asynccontextmanager
async def open_database(settings: PostgresSettings, *, log: Log) -> AsyncIterator[Database]:
    """Bring the database to today's form, and serve it until left.

    Raises StoreUnavailable or DatabaseTooNew where it cannot be used.
    """
    for title in await PostgresMigrations(settings).apply():
        log.info("database_migrated", schema=settings.schema, step=title)
    sessions = Sessions(settings)
    pool = Pool(
        sessions.open,
        size_min=settings.pool_min,
        size_max=settings.pool_max,
        waiting_max=settings.reads_waiting_max,
        idle_s=settings.pool_idle_s,
    )
    async with pool.opened(), running_writer(sessions, settings, log) as writer:
        reader = Reader(pool, read_s=settings.connect_s + settings.statement_s)
        yield Database(settings, sessions, pool, reader, writer)
