"""What an error of the driver or the server means for the units that met it."""

from __future__ import annotations

from enum import Enum, auto

import asyncpg

from famulus_schemas.records import OutcomeUnknown as OutcomeUnknown


class Failure(Enum):
    """Whose failure it is, and so what may be tried again."""

    CONNECTION = auto()
    """The session is gone, or is with a server that cannot write; another may do."""
    PASSING = auto()
    """The server gave up on the transaction; the same one may succeed."""
    STORE = auto()
    """The server cannot do it now (disk full, no permission); trying at once is no use."""
    UNIT = auto()
    """Something in a unit cannot be stored; other units can."""


_OF_UNIT = (
    asyncpg.DataError,
    asyncpg.IntegrityConstraintViolationError,
    asyncpg.ProgramLimitExceededError,
)
_OF_CONNECTION = (
    OSError,
    TimeoutError,
    EOFError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    asyncpg.PostgresConnectionError,
    asyncpg.TooManyConnectionsError,
    asyncpg.IdleInTransactionSessionTimeoutError,
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.CannotConnectNowError,
)
_PASSING = (
    asyncpg.SerializationError,
    asyncpg.DeadlockDetectedError,
    asyncpg.LockNotAvailableError,
    asyncpg.QueryCanceledError,
)


UNREACHABLE = (
    OSError,
    TimeoutError,
    EOFError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
)
"""What opening a session can raise; all of it may be over the next time."""


def failure_of(error: Exception) -> Failure:
    """Whose failure an error is."""
    if isinstance(error, _OF_CONNECTION):
        return Failure.CONNECTION
    if isinstance(error, _PASSING):
        return Failure.PASSING
    if isinstance(error, asyncpg.PostgresError) and not isinstance(error, _OF_UNIT):
        return Failure.STORE
    return Failure.UNIT


def described(error: BaseException) -> str:
    """An error in one line; what it is, where it says nothing itself."""
    if isinstance(error, asyncpg.PostgresError):
        return f"{error} ({error.sqlstate})"
    return str(error).partition("\n")[0] or type(error).__name__
