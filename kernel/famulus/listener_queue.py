"""One listener's queue: bounded, filled without waiting, emptied all at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

from famulus_schemas.ports import Emission, ListenerDropped


class ListenerQueue:
    """What was published for one listener and not read yet; iterate over it to read.

    All of it belongs to one event loop, and one reader reads it.
    """

    __slots__ = ("_bytes", "_bytes_max", "_closed", "_dropped", "_events_max", "_waiting", "_wake")

    def __init__(self, *, events_max: int, bytes_max: int) -> None:
        self._events_max = events_max
        self._bytes_max = bytes_max
        self._waiting: list[Emission] = []
        self._bytes = 0
        self._closed = False
        self._dropped: ListenerDropped | None = None
        self._wake = asyncio.Event()

    def put(self, batch: Sequence[Emission], size: int) -> bool:
        """Queue a batch of that many bytes; False, and dropped, where it does not fit.

        A reader that has read everything is not slow, so then any batch fits.
        """
        if self._waiting and not self._fits(batch, size):
            waited = f"more than {self._events_max} events or {self._bytes_max} bytes waited"
            self.drop(ListenerDropped(waited))
            return False
        self._waiting.extend(batch)
        self._bytes += size
        self._wake.set()
        return True

    def close(self) -> None:
        """Let the reader stop once it has read what waits."""
        self._closed = True
        self._wake.set()

    def drop(self, reason: ListenerDropped) -> None:
        """Forget what waits, and raise this to the reader."""
        self._dropped = reason
        self._waiting = []
        self._bytes = 0
        self._wake.set()

    def __aiter__(self) -> AsyncIterator[Sequence[Emission]]:
        return self

    async def __anext__(self) -> Sequence[Emission]:
        while not self._waiting:
            if self._dropped is not None:
                raise self._dropped
            if self._closed:
                raise StopAsyncIteration
            self._wake.clear()
            await self._wake.wait()
        batch, self._waiting, self._bytes = self._waiting, [], 0
        return batch

    def _fits(self, batch: Sequence[Emission], size: int) -> bool:
        is_few = len(self._waiting) + len(batch) <= self._events_max
        return is_few and self._bytes + size <= self._bytes_max
