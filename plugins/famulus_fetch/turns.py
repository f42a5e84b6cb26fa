"""Whose turn it is: so many at once, so many of each project, and a bounded queue."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from famulus_schemas.fetching import NotFetched

T = TypeVar("T")


class Turn:
    """One place, which is left when whoever has it has ended, and all that was begun for it."""

    def __init__(self, leave: Callable[[], None]) -> None:
        self._leave = leave
        self._is_over = False
        self._begun: set[asyncio.Future[Any]] = set()

    async def held_by(self, work: Awaitable[T]) -> T:
        """What the work comes to. It goes on and keeps the place where nobody waits any more."""
        task = asyncio.ensure_future(work)
        self._begun.add(task)
        task.add_done_callback(self._done)
        return await asyncio.shield(task)

    def end(self) -> None:
        """Leave the place, now or when the last that was begun has ended."""
        self._is_over = True
        if not self._begun:
            self._leave()

    async def stop(self) -> None:
        """End what was begun."""
        begun = list(self._begun)
        for each in begun:
            each.cancel()
        await asyncio.gather(*begun, return_exceptions=True)

    def _done(self, task: asyncio.Future[Any]) -> None:
        self._begun.discard(task)
        if not task.cancelled():
            # Nobody may be left to hear of it.
            task.exception()
        if self._is_over and not self._begun:
            self._leave()


class Turns:
    """Places for what is fetched at the same time."""

    def __init__(self, *, at_once: int, per_project: int, waiting_max: int) -> None:
        self._places = asyncio.Semaphore(at_once)
        self._per_project = per_project
        self._of_projects: dict[str, tuple[asyncio.Semaphore, set[Turn]]] = {}
        self._waiting = 0
        self._waiting_max = waiting_max
        self.busy = 0

    @property
    def waiting(self) -> int:
        """How many wait."""
        return self._waiting

    @asynccontextmanager
    async def turn(self, project: str) -> AsyncIterator[Turn]:
        """Wait for a place of the project, then for any. Raises NotFetched where too many wait."""
        own, users = self._of_projects.setdefault(
            project, (asyncio.Semaphore(self._per_project), set())
        )
        if (own.locked() or self._places.locked()) and self._waiting >= self._waiting_max:
            raise NotFetched("too much is being fetched at this moment; try again")
        me = Turn(lambda: self._leave(project, me))
        users.add(me)
        try:
            await self._taken(own)
        except BaseException:
            self._forget(project, me)
            raise
        self.busy += 1
        try:
            yield me
        finally:
            me.end()

    async def close(self) -> None:
        """End what is begun, whether somebody waits for it or not."""
        of_all = [turn for _, users in self._of_projects.values() for turn in users]
        await asyncio.gather(*(turn.stop() for turn in of_all))

    async def _taken(self, own: asyncio.Semaphore) -> None:
        self._waiting += 1
        try:
            await own.acquire()
            try:
                await self._places.acquire()
            except BaseException:
                own.release()
                raise
        finally:
            self._waiting -= 1

    def _leave(self, project: str, turn: Turn) -> None:
        self.busy -= 1
        self._places.release()
        self._of_projects[project][0].release()
        self._forget(project, turn)

    def _forget(self, project: str, turn: Turn) -> None:
        users = self._of_projects[project][1]
        users.discard(turn)
        if not users:
            del self._of_projects[project]
