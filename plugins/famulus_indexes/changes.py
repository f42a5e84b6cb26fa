"""Stores of which something has changed, brought in one after the other, in the background."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from famulus.log import Log

Key = tuple[str, str]
"""A store, by its project and its name."""

PAUSE_SHARE = 3
PAUSE_S_MAX = 5.0
"""To see what has changed, all files of a store are looked at: after each time, there is a pause of
so many times as long as it took. Else a store of many files that come one by one would take the
more of the server the more it has. Whoever searches it waits for no pause."""


class Changes:
    """Those that wait, each once; over `waiting_max`, others are brought in when searched."""

    def __init__(
        self,
        bring_in: Callable[[Key], Awaitable[None]],
        *,
        waiting_max: int,
        log: Log,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._bring_in = bring_in
        self._waiting_max = waiting_max
        self._log = log
        self._sleep = sleep
        self._waiting: dict[Key, None] = {}
        self._any = asyncio.Event()

    def add(self, key: Key) -> None:
        """Have the store brought in soon."""
        if len(self._waiting) < self._waiting_max:
            self._waiting[key] = None
            self._any.set()

    async def run(self) -> None:
        """Bring in what changes, until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            await self._any.wait()
            self._any.clear()
            while self._waiting:
                key = next(iter(self._waiting))
                del self._waiting[key]
                begun = loop.time()
                try:
                    await self._bring_in(key)
                except Exception as error:  # Whoever searches the store is told of it.
                    self._log.warning("bringing_in_failed", store=key[1], reason=repr(error))
                await self._sleep(min(PAUSE_SHARE * (loop.time() - begun), PAUSE_S_MAX))
