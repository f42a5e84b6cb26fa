"""Sessions with the server: all opened and set up alike, by address and never by name."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import asyncpg

from famulus import CannotStart
from famulus_postgres import statements
from famulus_postgres.failures import UNREACHABLE, described
from famulus_postgres.settings import PostgresSettings
from famulus_schemas.records import StoreUnavailable


class UnusableDsn(CannotStart, StoreUnavailable):
    """The dsn is none; no part of it is shown."""


class Sessions:
    """Opens sessions with one database, all of one schema."""

    def __init__(self, settings: PostgresSettings) -> None:
        if settings.dsn is None:
            raise ValueError("postgres has no dsn")
        self._dsn = settings.dsn.reveal()
        self._settings = settings
        self.place = _place(self._dsn)
        """Host and database, fit to be shown."""

    async def open(self) -> Any:
        """A new connection. Raises what the driver does."""
        connection = await asyncpg.connect(
            self._dsn,
            timeout=self._settings.connect_s,
            # So that an operator can tell whose session it is.
            server_settings={"application_name": self._settings.schema},
        )
        try:
            await self._prepare(connection)
        except BaseException:
            connection.terminate()
            raise
        return connection

    async def first(self) -> Any:
        """As `open`, for the start. Raises StoreUnavailable naming host and database."""
        try:
            return await self.open()
        except asyncpg.ClientConfigurationError:
            # Not chained: its text may hold part of a password.
            raise UnusableDsn(_BAD_DSN) from None
        except UNREACHABLE as error:
            raise StoreUnavailable(
                f"PostgreSQL at {self.place} cannot be used: {described(error)}"
            ) from error

    async def _prepare(self, connection: Any) -> None:
        await connection.fetchrow(
            statements.SESSION,
            self._settings.schema,
            _milliseconds(self._settings.statement_s),
            _milliseconds(self._settings.transaction_idle_s),
            timeout=self._settings.connect_s,
        )


_BAD_DSN = (
    "the dsn is not of the form postgresql://user:password@host:port/database (characters such "
    "as / # @ in a password are written as %2F %23 %40)"
)


def _milliseconds(seconds: float) -> str:
    # 0 would mean no limit at all.
    return str(max(1, round(seconds * 1000)))


def _place(dsn: str) -> str:
    try:
        parts = urlsplit(dsn)
        query = parse_qs(parts.query)
        host = parts.hostname or query.get("host", ["the default host"])[0]
        port = parts.port or query.get("port", ["5432"])[0]
    except ValueError:
        raise UnusableDsn(_BAD_DSN) from None
    if parts.scheme not in ("postgresql", "postgres"):
        raise UnusableDsn(_BAD_DSN)
    database = unquote(parts.path.lstrip("/")) or query.get("database", ["the default"])[0]
    return f"{host}:{port}, database {database}"
