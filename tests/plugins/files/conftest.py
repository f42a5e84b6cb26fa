"""A server with files, on each of the stores, and ways to look at what it keeps."""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import asyncpg
import httpx
import pytest

from famulus.plugin import NoSettings, Plugin, need
from famulus.testing import FixedClock, TestServer, kernel_with
from famulus_schemas.ports import BLOBS, FILES, RECORDS

PLUGINS = ("sqlite", "events", "jobs", "local_blobs", "files")
LOCAL_POSTGRES = "postgresql://postgres@127.0.0.1:5432/test"


class User(Plugin[NoSettings]):
    """Reaches the ports for a test."""

    name = "user"
    files = need(FILES)
    blobs = need(BLOBS)
    records = need(RECORDS)
    every_project = need(RECORDS.system)


@asynccontextmanager
async def server_of(*more: Any, **arguments: Any) -> AsyncIterator[TestServer]:
    async with kernel_with(*more, *PLUGINS, User, **arguments) as server:
        yield server


@pytest.fixture
async def server(fixed_clock: FixedClock, tmp_path: Path) -> AsyncIterator[TestServer]:
    async with server_of(clock=fixed_clock, data_dir=tmp_path) as started:
        yield started


@pytest.fixture
def user(server: TestServer) -> User:
    found: User = server.plugin("user")
    return found


async def give(
    server: TestServer, content: bytes = b"hello", name: str = "a.txt", **fields: str
) -> httpx.Response:
    """Upload a file as a form."""
    project = fields.pop("project", "default")
    return await server.client.post(
        "/v1/files",
        files={"file": (name, content)},
        data={"purpose": "assistants", **fields},
        headers={"x-test-project": project},
    )


async def given(server: TestServer, content: bytes = b"hello", **more: str) -> str:
    """The id of a new file."""
    answer = await give(server, content, **more)
    assert answer.status_code == 200, answer.text
    id: str = answer.json()["id"]
    return id


def error_of(response: httpx.Response, status: int = 400) -> tuple[str | None, str | None, str]:
    """What a refusal says: param, code and message."""
    assert response.status_code == status, response.text
    error = response.json()["error"]
    return error["param"], error["code"], error["message"]


async def keys(user: User) -> list[str]:
    """The keys of all blobs, sorted."""
    return sorted([blob.key async for blob in user.blobs.stored()])


async def eventually(holds: Callable[[], Awaitable[bool]]) -> None:
    """Wait until something holds."""
    async with asyncio.timeout(30):
        while not await holds():
            await asyncio.sleep(0.01)


@pytest.fixture(params=["sqlite", "postgres"])
def store(request: pytest.FixtureRequest) -> Iterator[dict[str, Any]]:
    """How `kernel_with` is given each of the stores, with nothing in it."""
    if request.param == "sqlite":
        yield {}
        return
    dsn = os.environ.get("FAMULUS_TEST_POSTGRES") or LOCAL_POSTGRES
    schema = f"files_{secrets.token_hex(6)}"
    try:
        anyio.run(_execute, dsn, "select 1")
    except OSError:
        pytest.skip("NO POSTGRESQL: set FAMULUS_TEST_POSTGRES to the dsn of a server for tests")
    yield {"dsn": dsn, "schema": schema}
    anyio.run(_execute, dsn, f"drop schema if exists {schema} cascade")


async def _execute(dsn: str, statement: str) -> None:
    connection = await asyncpg.connect(dsn, timeout=10)
    await connection.execute(statement)
    await connection.close()
