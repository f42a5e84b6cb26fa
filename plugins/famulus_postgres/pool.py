"""Connections for reads, shared fairly.

asyncpg's own pool costs as much time as the statement that it lends a connection for (a task, a
proxy, two timers a loan), and serves who comes just then before those who wait.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import asyncpg

from famulus_schemas.records import StoreUnavailable


class Pool:
    """Up to `size_max` connections; who finds none free waits for its turn."""

    def __init__(
        self,
        connect: Callable[[], Awaitable[Any]],
        *,
        size_min: int,
        size_max: int,
        waiting_max: int,
        idle_s: float,
    ) -> None:
        self._connect = connect
        self._size_min = size_min
        self._size_max = size_max
        self._waiting_max = waiting_max
        self._idle_s = idle_s
        self._idle: deque[tuple[Any, float]] = deque()
        """Free connections and since when, the last used one last."""
        self._size = 0
        self._waiting: deque[asyncio.Future[Any]] = deque()
        self._is_open = True

    @property
    def waiting(self) -> int:
        """Reads that wait for a connection."""
        return sum(not turn.done() for turn in self._waiting)

    @property
    def sizes(self) -> tuple[int, int]:
        """Connections that are lent or being opened, and those that are free."""
        return self._size - len(self._idle), len(self._idle)

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[Pool]:
        """Open the first connections, and at the end close all."""
        try:
            for _ in range(min(self._size_min, self._size_max)):
                self._size += 1
                self._put(await self._open())
            yield self
        finally:
            self._is_open = False
            while self._idle:
                self._drop(self._idle.pop()[0])

    async def fetch(self, statement: str, values: Sequence[Any]) -> Sequence[Any]:
        """All rows. Raises what the driver does, or StoreUnavailable where too many wait."""
        connection = await self._take()
        try:
            rows: Sequence[Any] = await connection.fetch(statement, *values)
        except asyncpg.PostgresError:
            self._put(connection)
            raise
        except BaseException:
            # It may still be busy with the statement that was given up.
            self._drop(connection)
            raise
        self._put(connection)
        return rows

    async def _take(self) -> Any:
        # While anyone waits, nothing is idle and no place is free: nobody is overtaken.
        while self._idle:
            connection, since = self._idle.pop()
            if not connection.is_closed() and _now() - since < self._idle_s:
                return connection
            self._drop(connection)
        if self._size < self._size_max:
            self._size += 1
            return await self._open()
        given = await self._turn()
        return await self._open() if given is None else given

    async def _turn(self) -> Any:
        """Wait for a connection, or None: the place of one that ended."""
        if len(self._waiting) >= self._waiting_max:
            raise StoreUnavailable(f"overloaded: {len(self._waiting)} reads wait")
        turn: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            return await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._pass_on(turn.result())
            raise

    async def _open(self) -> Any:
        try:
            if not self._is_open:
                raise StoreUnavailable("the store is closed")
            return await self._connect()
        except BaseException:
            self._pass_on(None)
            raise

    def _put(self, connection: Any) -> None:
        if connection.is_closed() or not self._is_open:
            self._drop(connection)
        else:
            self._pass_on(connection)

    def _drop(self, connection: Any) -> None:
        connection.terminate()
        self._pass_on(None)

    def _pass_on(self, given: Any) -> None:
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(given)
                return
        if given is None:
            self._size -= 1
            return
        self._idle.append((given, _now()))
        self._close_unused()

    def _close_unused(self) -> None:
        oldest, since = self._idle[0]
        if len(self._idle) > self._size_min and _now() - since >= self._idle_s:
            self._idle.popleft()
            self._drop(oldest)


def _now() -> float:
    return asyncio.get_running_loop().time()
