"""Bringing in by rounds: of all who wait for it at once, one does it for all."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable


class Rounds:
    """The rounds of one store."""

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        """Held during a round; who changes what one brings in holds it, too."""
        self._begun = 0
        self._done = 0
        """The last round that brought in everything."""

    async def join(self, bring_in: Callable[[], Awaitable[None]]) -> None:
        """Return once a round that began after this was asked for is done. Raises what it does."""
        begun = self._begun
        async with self.lock:
            if self._done > begun:
                return
            self._begun += 1
            number = self._begun
            await bring_in()
            self._done = number
