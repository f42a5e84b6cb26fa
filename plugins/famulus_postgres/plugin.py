"""The plugin: RECORDS on PostgreSQL."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from famulus import Plugin, hookimpl
from famulus_postgres.settings import PostgresSettings
from famulus_schemas.health import Health
from famulus_schemas.ports import RECORDS

if TYPE_CHECKING:
    from famulus.migrations import Migrations
    from famulus_postgres.database import Database


class DriverMissing(Exception):
    """The package that talks to PostgreSQL is not installed."""


class Postgres(Plugin[PostgresSettings]):
    """Keeps records in one PostgreSQL database, shared by any number of processes."""

    name = "postgres"
    provides = (RECORDS, RECORDS.system)
    _database: Database | None = None

    @classmethod
    def off_because(cls, settings: PostgresSettings) -> str | None:
        """Off until there is a database to use."""
        return None if settings.dsn else "no dsn is set"

    @asynccontextmanager
    async def lifespan(self) -> AsyncIterator[None]:
        """Bring the tables up to date, serve, write what still waits, disconnect."""
        _check_driver()
        from famulus_postgres.database import open_database
        from famulus_postgres.store import PostgresStore, PostgresSystem

        async with open_database(self.settings, log=self.log) as database:
            self._database = database
            self.provide(RECORDS, PostgresStore(database))
            self.provide(RECORDS.system, PostgresSystem(database))
            try:
                yield
            finally:
                self._database = None

    @hookimpl
    def register_migrations(self) -> list[Migrations]:
        """The database's tables."""
        _check_driver()
        from famulus_postgres.migrations import PostgresMigrations

        return [PostgresMigrations(self.settings)]

    @hookimpl
    async def check_health(self) -> Health:
        """Whether records can be read and written now."""
        if self._database is None:
            return Health(status="down", detail="the database is not open")
        return await self._database.health()


def _check_driver() -> None:
    # asyncpg is an extra: what needs it is imported only once it is known to be there.
    try:
        import asyncpg  # noqa: F401
    except ModuleNotFoundError as error:
        raise DriverMissing('asyncpg is not installed: pip install "famulus[postgres]"') from error
