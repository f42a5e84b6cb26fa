"""Records in one SQLite file: the store that needs no server beside it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from famulus import Plugin, hookimpl
from famulus.migrations import Migrations
from famulus_schemas.gauges import Gauge
from famulus_schemas.health import Health
from famulus_schemas.ports import RECORDS
from famulus_sqlite.settings import SqliteSettings

if TYPE_CHECKING:
    from famulus_sqlite.database import Database

__all__ = ["Sqlite", "SqliteSettings"]


class Sqlite(Plugin[SqliteSettings]):
    """Provides RECORDS from a file of this server's own."""

    name = "sqlite"
    provides = (RECORDS, RECORDS.system)
    stand_in = True
    _database: Database | None = None

    @property
    def path(self) -> Path:
        """The database file."""
        if self.settings.path is None:
            return self.data_dir / "famulus.sqlite3"
        return Path(self.settings.path)

    @asynccontextmanager
    async def lifespan(self) -> AsyncIterator[None]:
        """Open the database and provide both views of it."""
        # Only here and below: what does not run is not imported.
        from famulus_sqlite.database import open_database
        from famulus_sqlite.store import SqliteStore, SqliteSystem

        clock, per_fill = self.host.clock, self.settings.records_per_fill_max
        async with open_database(self.path, self.settings, clock=clock, log=self.log) as database:
            self._database = database
            self.provide(RECORDS, SqliteStore(database, records_per_fill_max=per_fill))
            self.provide(
                RECORDS.system, SqliteSystem(database, records_per_fill_max=per_fill, clock=clock)
            )
            try:
                yield
            finally:
                self._database = None

    @hookimpl
    def register_migrations(self) -> list[Migrations]:
        """The migrations of the database file."""
        from famulus_sqlite.migrations import SqliteMigrations

        return [SqliteMigrations(self.path, self.settings, clock=self.host.clock)]

    @hookimpl
    def register_gauges(self) -> list[Gauge]:
        """How much waits to be written, and how long writing takes."""
        from famulus_sqlite.gauges import writer_gauges

        return writer_gauges(lambda: self._database)

    @hookimpl
    async def check_health(self) -> Health:
        """Whether units are being written."""
        if self._database is None:
            return Health(status="down", detail="the database is not open")
        return self._database.writer.health()
