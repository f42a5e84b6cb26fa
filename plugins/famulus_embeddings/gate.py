"""Room for so many at once, and for so many who wait for it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from famulus import Problem
from famulus_schemas.errors import TOO_BUSY


class Gate:
    """Lets requests through in the order in which they came, `at_once_max` at a time."""

    def __init__(self, at_once_max: int, calls_max: int) -> None:
        self.at_once_max = at_once_max
        self.room = asyncio.Semaphore(at_once_max)
        self._calls_max = calls_max
        self._calls = 0

    @contextmanager
    def call(self) -> Iterator[None]:
        """One call, of which any number of requests may come. Raises Problem (TOO_BUSY)."""
        if self._calls >= self._calls_max:
            raise Problem(TOO_BUSY, reason=f"{self._calls} calls wait for embeddings.")
        self._calls += 1
        try:
            yield
        finally:
            self._calls -= 1
