"""Time and chance, as arguments: tests fix both."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Callable

Clock = Callable[[], float]
MakeId = Callable[[str], str]

ID_BYTES = 12
"""96 random bits an id: unguessable, and 24 characters as OpenAI's ids have."""

_POOL_IDS = 128


class IdPool:
    """Makes ids from pooled system randomness; one read serves many ids.

    The pool belongs to one process: after a fork it is dropped, so that two processes never
    make the same id.
    """

    def __init__(self) -> None:
        self._pool = ""
        self._at = 0
        self._pid = -1

    def __call__(self, prefix: str) -> str:
        if self._at >= len(self._pool) or self._pid != os.getpid():
            self._pool = secrets.token_hex(ID_BYTES * _POOL_IDS)
            self._at, self._pid = 0, os.getpid()
        start = self._at
        self._at = start + 2 * ID_BYTES
        return prefix + self._pool[start : self._at]


system_clock: Clock = time.time
"""Unix seconds by the machine's clock; itself, since it is asked several times a request."""
