"""The numbers that records get, rising and never given twice, also after a restart."""

from __future__ import annotations

import sqlite3

AHEAD = 1000
"""How far the saved mark runs ahead, so that few commits have to move it; a restart skips these."""


class Numbers:
    """Gives `seq` to records; used by the one writer, within its transactions."""

    def __init__(self, reserved: int) -> None:
        self._next = reserved + 1
        self._reserved = reserved
        self._saved = reserved

    @classmethod
    def load(cls, connection: sqlite3.Connection) -> Numbers:
        """Go on after every number that may have been given before."""
        (reserved,) = connection.execute(
            "select value from meta where name = 'seq_reserved'"
        ).fetchone()
        return cls(reserved)

    def next(self) -> int:
        """The next number; lost if the transaction is."""
        seq = self._next
        self._next += 1
        return seq

    def save(self, connection: sqlite3.Connection) -> None:
        """Move the saved mark past every number given; call before each commit."""
        if self._next - 1 > self._reserved:
            self._saved = self._next - 1 + AHEAD
            connection.execute(
                "update meta set value = ? where name = 'seq_reserved'", (self._saved,)
            )

    def committed(self) -> None:
        """The transaction that saved the mark is on disk."""
        self._reserved = self._saved
