"""Whose turn it is: so many at once, so many of each project, and a bounded queue."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from famulus_schemas.fetching import NotFetched


class Turns:
    """Places for what is fetched at the same time."""

    def __init__(self, *, at_once: int, per_project: int, waiting_max: int) -> None:
        self._places = asyncio.Semaphore(at_once)
        self._per_project = per_project
        self._of_projects: dict[str, tuple[asyncio.Semaphore, set[object]]] = {}
        self._waiting = 0
        self._waiting_max = waiting_max
        self.busy = 0

    @property
    def waiting(self) -> int:
        """How many wait."""
        return self._waiting

    @asynccontextmanager
    async def turn(self, project: str) -> AsyncIterator[None]:
        """Wait for a place of the project, then for any. Raises NotFetched where too many wait."""
        me = object()
        own, users = self._of_projects.setdefault(
            project, (asyncio.Semaphore(self._per_project), set())
        )
        if (own.locked() or self._places.locked()) and self._waiting >= self._waiting_max:
            raise NotFetched("too much is being fetched at this moment; try again")
        users.add(me)
        self._waiting += 1
        has_begun = False
        try:
            async with own, self._places:
                self._waiting -= 1
                self.busy += 1
                has_begun = True
                yield
        finally:
            if has_begun:
                self.busy -= 1
            else:
                self._waiting -= 1
            users.discard(me)
            if not users:
                self._of_projects.pop(project, None)
