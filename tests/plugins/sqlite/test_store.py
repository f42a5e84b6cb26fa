"""The SQLite store keeps what every record store promises."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from famulus.log import make_log
from famulus.testing.records_conformance import OpenStore, RecordsConformance
from famulus_sqlite.database import open_database
from famulus_sqlite.settings import SqliteSettings
from famulus_sqlite.store import SqliteStore, SqliteSystem


class Views:
    """Both views of one open database."""

    def __init__(self, store: SqliteStore, system: SqliteSystem) -> None:
        self.store = store
        self.system = system


@asynccontextmanager
async def open_views(path: Path) -> AsyncIterator[Views]:
    async with open_database(path, SqliteSettings(), clock=lambda: 5.0, log=make_log()) as database:
        yield Views(
            SqliteStore(database, records_per_fill_max=1000),
            SqliteSystem(database, records_per_fill_max=1000, clock=lambda: 5.0),
        )


class TestSqlite(RecordsConformance):
    @pytest.fixture
    def open_store(self, tmp_path: Path) -> OpenStore:
        return lambda: open_views(tmp_path / "records.sqlite3")
