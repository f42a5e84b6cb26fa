"""The plugin: VECTORS in one PostgreSQL database."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from famulus import CannotStart, Plugin, hookimpl
from famulus_pgvector.settings import PgvectorSettings
from famulus_schemas.health import Health
from famulus_schemas.ports import VECTORS
from famulus_schemas.records import StoreUnavailable
from famulus_schemas.retention import Data, DataPlace

if TYPE_CHECKING:
    from famulus.migrations import Migrations
    from famulus_pgvector.vectors import PgVectors


class DriverMissing(CannotStart):
    """The package that talks to PostgreSQL is not installed."""


class Pgvector(Plugin[PgvectorSettings]):
    """Provides VECTORS from one PostgreSQL database that has the extension pgvector."""

    name = "pgvector"
    extras = {"asyncpg": "postgres"}
    provides = (VECTORS,)
    _vectors: PgVectors | None = None

    @classmethod
    def off_because(cls, settings: PgvectorSettings) -> str | None:
        """Off until there is a database to use."""
        return None if settings.dsn else "no dsn is set"

    @asynccontextmanager
    async def lifespan(self) -> AsyncIterator[None]:
        """Bring the tables up to date, and provide the port."""
        _check_driver()
        from famulus_pgvector.migrations import PgvectorMigrations
        from famulus_pgvector.vectors import open_vectors

        for title in await PgvectorMigrations(self.settings).apply():
            self.log.info("database_migrated", schema=self.settings.schema, step=title)
        async with open_vectors(self.settings, log=self.log) as vectors:
            self._vectors = vectors
            self.provide(VECTORS, vectors)
            try:
                yield
            finally:
                self._vectors = None

    @hookimpl
    def register_migrations(self) -> list[Migrations]:
        """The database's tables."""
        _check_driver()
        from famulus_pgvector.migrations import PgvectorMigrations

        return [PgvectorMigrations(self.settings)]

    @hookimpl
    def register_data_kinds(self) -> list[Data]:
        """Indexes in the database."""
        vectors = self._vectors
        if vectors is None:
            return []
        return [
            DataPlace(
                name="vectors",
                count=vectors.count_of,
                erase=vectors.erase,
                renew=vectors.renew,
            )
        ]

    @hookimpl
    async def check_health(self) -> Health:
        """Whether the database answers, and large stores have indexes."""
        if self._vectors is None:
            return Health(status="down", detail="the database is not open")
        try:
            await self._vectors.probe()
        except StoreUnavailable as error:
            return Health(status="down", detail=str(error))
        if fault := self._vectors.builder.fault:
            return Health(status="degraded", detail=f"a store has no index: {fault}")
        return Health()


def _check_driver() -> None:
    # asyncpg is an extra: what needs it is imported only once it is known to be there.
    try:
        import asyncpg  # noqa: F401
    except ModuleNotFoundError as error:
        raise DriverMissing('asyncpg is not installed: pip install "famulus[postgres]"') from error
