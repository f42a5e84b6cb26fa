"""A PostgreSQL for tests: how a test has a part of it for itself."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager

import anyio
import asyncpg


@contextmanager
def own_schema(dsn: str) -> Iterator[dict[str, str]]:
    """The variables of a server that has an empty schema there, dropped when left."""
    schema = f"e2e_{secrets.token_hex(6)}"
    try:
        yield {"FAMULUS_POSTGRES__DSN": dsn, "FAMULUS_POSTGRES__SCHEMA": schema}
    finally:
        anyio.run(execute, dsn, f"drop schema if exists {schema} cascade")


async def execute(dsn: str, statement: str) -> None:
    """Run one statement of SQL."""
    connection = await asyncpg.connect(dsn, timeout=10)
    await connection.execute(statement)
    await connection.close()
