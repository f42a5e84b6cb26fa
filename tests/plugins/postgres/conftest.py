"""Open stores for the tests of the PostgreSQL store, each test in a schema of its own.

The server is the one that FAMULUS_TEST_POSTGRES names. Where there is none, these tests are
skipped, and say so; where the variable names one that does not answer, they fail.
"""

from __future__ import annotations

import asyncio
import io
import itertools
import os
import secrets
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import anyio
import asyncpg
import msgspec
import pytest
from tests.plugins.postgres.relay import Line

from famulus import Secret
from famulus.log import make_log
from famulus_postgres.database import Database, open_database
from famulus_postgres.envelopes import channel_of
from famulus_postgres.remote_events import Running, running_events
from famulus_postgres.sessions import Sessions
from famulus_postgres.settings import PostgresSettings
from famulus_postgres.store import PostgresStore, PostgresSystem

LOCAL = "postgresql://postgres@127.0.0.1:5432/test"


class Opened:
    """One open database and its two views."""

    def __init__(self, database: Database, log: io.StringIO) -> None:
        self.database = database
        self.store = PostgresStore(database)
        self.system = PostgresSystem(database)
        self._log = log

    def logged(self) -> list[str]:
        """The events that the store logged so far."""
        return [msgspec.json.decode(line)["event"] for line in self._log.getvalue().splitlines()]


class Joined:
    """One process's events, as it were: several of them are in this one."""

    def __init__(self, running: Running, log: io.StringIO) -> None:
        self.running = running
        self.events = running.events
        self._log = log

    def logged(self) -> list[str]:
        """What was logged so far."""
        return [msgspec.json.decode(line)["event"] for line in self._log.getvalue().splitlines()]


Open = Callable[..., AbstractAsyncContextManager[Opened]]
Run = Callable[..., Any]


@pytest.fixture(scope="session")
def dsn() -> str:
    async def can_connect() -> bool:
        try:
            await (await asyncpg.connect(LOCAL, timeout=5)).close()
        except (OSError, asyncpg.PostgresError):
            return False
        return True

    if named := os.environ.get("FAMULUS_TEST_POSTGRES"):
        return named
    if not anyio.run(can_connect):
        pytest.skip("NO POSTGRESQL: set FAMULUS_TEST_POSTGRES to the dsn of a server for tests")
    return LOCAL


@pytest.fixture
async def settings(dsn: str) -> AsyncIterator[PostgresSettings]:
    """Settings for a schema that does not exist yet, and is gone after the test."""
    settings = PostgresSettings(
        dsn=Secret(dsn),
        schema=f"test_{secrets.token_hex(6)}",
        pool_min=0,
        retry_first_s=0.01,
        retry_max_s=0.1,
    )
    yield settings
    connection = await asyncpg.connect(dsn)
    # A process that was killed may have left sessions that hold the tables still.
    await connection.execute(
        "select pg_terminate_backend(pid) from pg_stat_activity where application_name = $1",
        settings.schema,
    )
    await connection.execute(f"drop schema if exists {settings.schema} cascade")
    await connection.close()


@pytest.fixture
def open_postgres(settings: PostgresSettings) -> Open:
    """Opens the test's schema, with other settings by keyword."""

    @asynccontextmanager
    async def open_postgres(**changes: Any) -> AsyncIterator[Opened]:
        stream = io.StringIO()
        changed = msgspec.structs.replace(settings, **changes)
        async with open_database(changed, log=make_log(stream=stream)) as database:
            yield Opened(database, stream)

    return open_postgres


@pytest.fixture
async def run(dsn: str, settings: PostgresSettings) -> AsyncIterator[Run]:
    """Runs a statement in the test's schema, beside the store; the rows."""
    connection = await asyncpg.connect(dsn, server_settings={"search_path": settings.schema})
    yield connection.fetch
    await connection.close()


@pytest.fixture
def another_process(settings: PostgresSettings) -> Iterator[Callable[[], subprocess.Popen[str]]]:
    """Starts `in_another_process.py`; what still runs at the end is killed."""
    started: list[subprocess.Popen[str]] = []

    def start() -> subprocess.Popen[str]:
        assert settings.dsn is not None
        script = Path(__file__).with_name("in_another_process.py")
        process = subprocess.Popen(
            [sys.executable, str(script), settings.schema],
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"DSN": settings.dsn.reveal()},
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


@pytest.fixture
def open_events(settings: PostgresSettings) -> Open:
    """Joins the processes that tell each other events, with other settings by keyword."""
    numbers = itertools.count(1)

    @asynccontextmanager
    async def open_events(**changes: Any) -> AsyncIterator[Joined]:
        stream = io.StringIO()
        changed = msgspec.structs.replace(settings, **changes)
        sender = f"process_{next(numbers)}"
        log = make_log(stream=stream)
        async with running_events(Sessions(changed), changed, sender=sender, log=log) as running:
            yield Joined(running, stream)

    return open_events


@pytest.fixture
async def payloads(dsn: str, settings: PostgresSettings) -> AsyncIterator[Callable[[], list[str]]]:
    """What processes have told each other so far."""
    heard: list[str] = []
    connection = await asyncpg.connect(dsn)
    channel = channel_of(settings.schema)
    await connection.add_listener(channel, lambda *heard_of: heard.append(heard_of[3]))
    yield lambda: list(heard)
    await connection.close()


@pytest.fixture
def cut_lines(dsn: str, settings: PostgresSettings) -> Callable[[], Awaitable[None]]:
    """Has the server end the sessions through which processes hear each other."""

    async def cut_lines() -> None:
        connection = await asyncpg.connect(dsn)
        await connection.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity where application_name = $1"
            " and (query ilike 'listen%' or query = 'select' or query like '%pg_notify%')",
            settings.schema,
        )
        await connection.close()

    return cut_lines


@pytest.fixture
def cut_everything(dsn: str, settings: PostgresSettings) -> Callable[[], Awaitable[None]]:
    """Has the server end every session of the test's schema, as when it is restarted."""

    async def cut_everything() -> None:
        connection = await asyncpg.connect(dsn)
        await connection.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity where application_name = $1",
            settings.schema,
        )
        await connection.close()

    return cut_everything


@pytest.fixture
async def line(dsn: str) -> AsyncIterator[Line]:
    """A relay to the server of the tests."""
    parts = urlsplit(dsn)
    line = Line(parts.hostname or "127.0.0.1", parts.port or 5432)
    server = await asyncio.start_server(line.relay, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    user = parts.netloc.rpartition("@")[0]
    netloc = f"{user}@127.0.0.1:{port}" if user else f"127.0.0.1:{port}"
    query = "&".join(part for part in (parts.query, "sslmode=disable") if part)
    try:
        line.dsn = Secret(urlunsplit(parts._replace(netloc=netloc, query=query)))
        yield line
    finally:
        line.cut_all()
        server.close()
