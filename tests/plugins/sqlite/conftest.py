"""Open databases for the tests of the SQLite store."""

from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from famulus.log import make_log
from famulus_sqlite.database import Database, open_database
from famulus_sqlite.settings import SqliteSettings
from famulus_sqlite.store import SqliteStore, SqliteSystem

NOW = 1_700_000_000.0


class Opened:
    """One open database and its two views."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.store = SqliteStore(database, records_per_fill_max=100)
        self.system = SqliteSystem(database, records_per_fill_max=100, clock=lambda: NOW)


Open = Callable[..., AbstractAsyncContextManager[Opened]]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "famulus.sqlite3"


@pytest.fixture
def open_sqlite(path: Path) -> Open:
    """Opens `path`, or another file, with settings by keyword."""

    @asynccontextmanager
    async def open_sqlite(file: Path = path, **settings: Any) -> AsyncIterator[Opened]:
        log = make_log(stream=io.StringIO())
        async with open_database(
            file, SqliteSettings(**settings), clock=lambda: NOW, log=log
        ) as database:
            yield Opened(database)

    return open_sqlite


@pytest.fixture
def another_process() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts `in_another_process.py`, `under` another program; kills it at the end."""
    started: list[subprocess.Popen[str]] = []

    def start(what: str, path: Path, *under: str) -> subprocess.Popen[str]:
        script = Path(__file__).with_name("in_another_process.py")
        process = subprocess.Popen(
            [*under, sys.executable, str(script), what, str(path)],
            stdout=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()
