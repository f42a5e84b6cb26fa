"""Sessions with the database, all set up alike."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from struct import pack, unpack_from
from typing import Any, Final
from zlib import crc32

import asyncpg

from famulus import CannotStart
from famulus_pgvector.settings import PgvectorSettings
from famulus_schemas.records import StoreUnavailable

UNREACHABLE: Final = (
    OSError,
    TimeoutError,
    EOFError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
)
"""What a session can raise where the database cannot be used now."""


class UnusableDsn(CannotStart):
    """The dsn is none; no part of it is shown."""


def lock_number(schema: str, *names: str) -> int:
    """The number of an advisory lock; two names with one number only wait for each other."""
    upper = crc32(schema.encode()) - 2**31
    return upper << 32 | crc32("\x00".join(names).encode("utf-8", "surrogatepass"))


def described(error: BaseException) -> str:
    """An error in one line; what it is, where it says nothing itself."""
    if isinstance(error, asyncpg.PostgresError):
        return f"{error} ({error.sqlstate})"
    return str(error).partition("\n")[0] or type(error).__name__


async def session(settings: PgvectorSettings, *, statement_s: float | None = None) -> Any:
    """A connection of its own. Raises what the driver does."""
    assert settings.dsn is not None
    return await asyncpg.connect(
        settings.dsn.reveal(), command_timeout=statement_s, **_given(settings)
    )


async def first_session(settings: PgvectorSettings) -> Any:
    """As `session`, for the start. Raises StoreUnavailable, and UnusableDsn."""
    try:
        return await session(settings)
    except (asyncpg.ClientConfigurationError, ValueError):
        # Not chained: its text may hold part of a password.
        raise UnusableDsn(
            "the dsn is not of the form postgresql://user:password@host:port/database"
        ) from None
    except UNREACHABLE as error:
        raise StoreUnavailable(f"PostgreSQL cannot be used: {described(error)}") from error


@asynccontextmanager
async def opened_pool(settings: PgvectorSettings) -> AsyncIterator[Any]:
    """Connections to borrow, whose names and vectors are set up, until left."""
    from famulus_pgvector.migrations import set_path

    async def prepare(connection: Any) -> None:
        await set_path(connection, settings.schema)
        schema = await connection.fetchval(
            "select n.nspname from pg_type t join pg_namespace n on n.oid = t.typnamespace "
            "where t.oid = to_regtype('vector')"
        )
        await connection.set_type_codec(
            "vector", schema=schema, encoder=_sent, decoder=_received, format="binary"
        )

    assert settings.dsn is not None
    pool = asyncpg.create_pool(
        settings.dsn.reveal(),
        min_size=0,
        max_size=settings.pool_max,
        command_timeout=settings.statement_s,
        init=prepare,
        # What is set up once is not undone.
        reset=_keep,
        **_given(settings),
    )
    await pool
    try:
        yield pool
    finally:
        # Closing would wait for whoever holds a connection still.
        pool.terminate()


@contextmanager
def reached() -> Iterator[None]:
    """Raises StoreUnavailable for what a session can raise."""
    try:
        yield
    except UNREACHABLE as error:
        raise StoreUnavailable(f"pgvector: {described(error)}") from error


async def _keep(connection: Any) -> None:
    """What a connection is set up with stays."""


def _given(settings: PgvectorSettings) -> dict[str, Any]:
    return {
        "timeout": settings.connect_s,
        "server_settings": {"application_name": settings.schema, "jit": "off"},
    }


def _sent(vector: bytes) -> bytes:
    """A vector (float32, little-endian) in pgvector's own form, which is big-endian."""
    import numpy as np

    numbers = np.frombuffer(vector, "<f4")
    return pack(">HH", len(numbers), 0) + numbers.astype(">f4").tobytes()


def _received(data: bytes) -> bytes:
    import numpy as np

    (count,) = unpack_from(">H", data)
    return np.frombuffer(data, ">f4", count, 4).astype("<f4").tobytes()
