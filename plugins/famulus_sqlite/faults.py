"""What an error of SQLite means for the units that met it."""

from __future__ import annotations

import sqlite3
from enum import Enum, auto


class Fault(Enum):
    """Whose fault it is, and so what may be tried again."""

    UNIT = auto()
    """Something in a unit cannot be stored; other units can."""
    BATCH = auto()
    """The store cannot write now, and may again later (disk full, locked)."""
    STORE = auto()
    """The file or the disk failed; what was handed to it may or may not be there."""


_SIZE_OF_SHARED_MEMORY = sqlite3.SQLITE_IOERR | (19 << 8)
"""SQLITE_IOERR_SHMSIZE, how a full disk shows where the wal-index has to grow."""

_PASSING = frozenset(
    {
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_INTERRUPT,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_PERM,
        sqlite3.SQLITE_READONLY,
    }
)
_BROKEN = frozenset({sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})


def fault_of(error: Exception) -> Fault:
    """Whose fault an error is that a batch met.

    A failed sync counts as STORE: the system may have dropped the very pages that it could not
    write, so a second sync that succeeds proves nothing.
    """
    code = getattr(error, "sqlite_errorcode", None)
    if code is None:
        return Fault.UNIT
    if code == _SIZE_OF_SHARED_MEMORY or code & 0xFF in _PASSING:
        return Fault.BATCH
    return Fault.STORE if code & 0xFF in _BROKEN else Fault.UNIT
