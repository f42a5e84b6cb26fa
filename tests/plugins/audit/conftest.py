"""The stores that the log is kept in."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from typing import Any

import anyio
import asyncpg
import pytest

LOCAL_POSTGRES = "postgresql://postgres@127.0.0.1:5432/test"

Store = dict[str, dict[str, Any]]


@pytest.fixture(params=["sqlite", "postgres"])
def store(request: pytest.FixtureRequest) -> Iterator[Store]:
    """The name of a plugin, and its settings."""
    if request.param == "sqlite":
        yield {"sqlite": {}}
        return
    dsn = os.environ.get("FAMULUS_TEST_POSTGRES") or LOCAL_POSTGRES
    schema = f"audit_{secrets.token_hex(6)}"
    try:
        anyio.run(_execute, dsn, "select 1")
    except OSError:
        pytest.skip("NO POSTGRESQL: set FAMULUS_TEST_POSTGRES to the dsn of a server for tests")
    yield {"postgres": {"dsn": dsn, "schema": schema}}
    anyio.run(_execute, dsn, f"drop schema if exists {schema} cascade")


async def _execute(dsn: str, statement: str) -> None:
    connection = await asyncpg.connect(dsn, timeout=10)
    await connection.execute(statement)
    await connection.close()
