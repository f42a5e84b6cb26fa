"""The bounded queue between `tell` and `on_event`."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from famulus.hooks import each
from famulus_schemas.notices import RequestServed

if TYPE_CHECKING:
    from famulus.hooks import Hooks
    from famulus.log import Log
    from famulus_schemas.notices import Notice

SOON_S = 0.05
"""How long notices of requests may wait for each other: to wake somebody for one costs as much as
to tell several. Any other notice is told at once, and all that waited before it."""
REST_S = 1.0
"""How long a stop waits until what was told is heard."""
TURN_MAX = 100
"""How many are told before others have their turn."""


class Notices:
    """What happened and is still to be told, in order."""

    def __init__(self, waiting_max: int, log: Log) -> None:
        self._waiting: deque[Notice] = deque()
        self._waiting_max = waiting_max
        self._is_due = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._log = log
        self.lost = 0
        """How many were, since the start."""

    @property
    def waiting(self) -> int:
        """How many nobody has heard yet."""
        return len(self._waiting)

    def tell(self, hooks: Hooks | None, notice: Notice) -> None:
        """Queue a notice if anybody would hear it; count it as lost where the queue is full."""
        if hooks is None or not hooks.listeners(type(notice)):
            return
        if len(self._waiting) >= self._waiting_max:
            self.lost += 1
            return
        self._waiting.append(notice)
        self._is_due.set()

    def tell_request(self, notice: RequestServed) -> None:
        """Queue what somebody hears of, to be told with others."""
        waiting = self._waiting
        waiting.append(notice)
        if self._timer is None or len(waiting) >= self._waiting_max:
            self._arrange()

    def _arrange(self) -> None:
        if len(self._waiting) > self._waiting_max:
            self._waiting.pop()
            self.lost += 1
        elif len(self._waiting) == self._waiting_max:
            self._is_due.set()
        else:
            self._timer = asyncio.get_running_loop().call_later(SOON_S, self._soon_is_over)

    def hurry(self) -> None:
        """Have told at once what waits for others."""
        self._is_due.set()

    async def deliver(self, hooks: Callable[[], Hooks | None]) -> None:
        """Tell plugins, one notice after the other, for ever."""
        while True:
            await self._is_due.wait()
            self._is_due.clear()
            while self._waiting:
                await self._tell_some(hooks())
                await asyncio.sleep(0)

    async def tell_rest(self, hooks: Hooks | None) -> None:
        """Tell what still waits, before those who hear it stop; what takes longer is lost."""
        try:
            async with asyncio.timeout(REST_S):
                while self._waiting:
                    await self._tell_some(hooks)
        except TimeoutError:
            self.lost += len(self._waiting)
            self._waiting.clear()

    async def _tell_some(self, hooks: Hooks | None) -> None:
        """Tell as many as have their turn; requests that follow each other all at once."""
        waiting = self._waiting
        requests: list[RequestServed] = []
        for _ in range(min(TURN_MAX, len(waiting))):
            notice = waiting.popleft()
            if type(notice) is RequestServed:
                requests.append(notice)
                continue
            await self._tell_requests(hooks, requests)
            requests = []
            if hooks is not None:
                await each(hooks.listeners(type(notice)), self._failed, event=notice)
        await self._tell_requests(hooks, requests)

    async def _tell_requests(self, hooks: Hooks | None, requests: list[RequestServed]) -> None:
        if requests and hooks is not None:
            await hooks.on_requests(requests, self._failed)

    def _soon_is_over(self) -> None:
        self._timer = None
        self._is_due.set()

    def _failed(self, plugin: str, error: Exception) -> None:
        self._log.error("on_event_failed", plugin=plugin, exc_info=error)
