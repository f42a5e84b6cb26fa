"""A reader's subscription to a run, made anew where it was dropped."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

from famulus_schemas.errors import Problem
from famulus_schemas.ports import Events, Listener


class Listening:
    """Listens to one run's topic."""

    def __init__(
        self,
        events: Events,
        project: str,
        run_id: str,
        *,
        is_here: Callable[[], bool],
        readers: Counter[tuple[str, str]],
    ) -> None:
        self._events = events
        self._project = project
        self._run_id = run_id
        self._is_here = is_here
        self._subscription: AbstractAsyncContextManager[Listener] | None = None
        self._listener: Listener | None = None
        self._readers = readers

    @property
    def listener(self) -> Listener:
        """Whom the run is told to now."""
        assert self._listener is not None
        return self._listener

    async def open(self, *, here: bool) -> None:
        """Begin. Raises Problem (TOO_BUSY)."""
        subscription = self._events.subscribe(self._project, self._run_id, here=here)
        self._listener = await subscription.__aenter__()
        self._subscription = subscription
        self._readers[self._project, self._run_id] += 1

    async def renew(self) -> bool:
        """Begin anew; whether there was room to."""
        await self.close()
        try:
            await self.open(here=self._is_here())
        except Problem:
            return False
        return True

    async def close(self) -> None:
        """Stop."""
        if self._subscription is not None:
            subscription, self._subscription = self._subscription, None
            self._readers[self._project, self._run_id] -= 1
            if not self._readers[self._project, self._run_id]:
                del self._readers[self._project, self._run_id]
            await subscription.__aexit__(None, None, None)
