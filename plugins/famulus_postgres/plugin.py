"""The plugin: RECORDS and EVENTS on PostgreSQL."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from famulus import CannotStart, Plugin, hookimpl
from famulus_postgres.settings import PostgresSettings
from famulus_schemas.gauges import Gauge
from famulus_schemas.health import Health
from famulus_schemas.ports import EVENTS, RECORDS

if TYPE_CHECKING:
    from famulus.migrations import Migrations
    from famulus_postgres.database import Database
    from famulus_postgres.remote_events import Running


class DriverMissing(CannotStart):
    """The package that talks to PostgreSQL is not installed."""


class Postgres(Plugin[PostgresSettings]):
    """Keeps records in one PostgreSQL database, and tells events to all processes that share it."""

    name = "postgres"
    extras = {"asyncpg": "postgres"}
    provides = (RECORDS, RECORDS.system, EVENTS)
    _database: Database | None = None
    _events: Running | None = None

    @classmethod
    def off_because(cls, settings: PostgresSettings) -> str | None:
        """Off until there is a database to use."""
        return None if settings.dsn else "no dsn is set"

    @asynccontextmanager
    async def lifespan(self) -> AsyncIterator[None]:
        """Bring the tables up to date, serve, write and tell what still waits, disconnect."""
        _check_driver()
        from famulus_postgres.database import open_database
        from famulus_postgres.remote_events import running_events
        from famulus_postgres.store import PostgresStore, PostgresSystem

        sender = self.new_id("process_")
        async with (
            open_database(self.settings, log=self.log) as database,
            running_events(database.sessions, self.settings, sender=sender, log=self.log) as events,
        ):
            self._database, self._events = database, events
            self.provide(RECORDS, PostgresStore(database))
            self.provide(RECORDS.system, PostgresSystem(database))
            self.provide(EVENTS, events.events)
            try:
                yield
            finally:
                self._database = self._events = None

    @hookimpl
    def register_migrations(self) -> list[Migrations]:
        """The database's tables."""
        _check_driver()
        from famulus_postgres.migrations import PostgresMigrations

        return [PostgresMigrations(self.settings)]

    @hookimpl
    def register_gauges(self) -> list[Gauge]:
        """How much waits to be written or read, and how long writing takes."""
        from famulus_postgres.gauges import store_gauges

        return store_gauges(lambda: self._database)

    @hookimpl
    async def check_health(self) -> Health:
        """Whether records can be read and written now, and other processes heard."""
        if self._database is None or self._events is None:
            return Health(status="down", detail="the database is not open")
        health = await self._database.health()
        return health if health.status != "ok" else self._events.health()


def _check_driver() -> None:
    # asyncpg is an extra: what needs it is imported only once it is known to be there.
    try:
        import asyncpg  # noqa: F401
    except ModuleNotFoundError as error:
        raise DriverMissing('asyncpg is not installed: pip install "famulus[postgres]"') from error
