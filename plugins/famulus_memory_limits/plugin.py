"""The plugin: LIMITS for one process."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from famulus import Plugin
from famulus.buckets import Buckets
from famulus_memory_limits.settings import MemoryLimitsSettings
from famulus_schemas.limits import Limit, Refused, Taken
from famulus_schemas.ports import LIMITS


class LimitsInMemory:
    """The limits of this process, which end with it."""

    def __init__(self, buckets: Buckets) -> None:
        self._buckets = buckets

    async def take(self, project: str, limits: Sequence[Limit]) -> Taken | Refused:
        """Take all or nothing."""
        return self._buckets.take(project, limits)

    async def settle(self, project: str, limits: Sequence[Limit]) -> None:
        """Correct what was taken."""
        self._buckets.settle(project, limits)


class MemoryLimits(Plugin[MemoryLimitsSettings]):
    """Provides LIMITS within this process."""

    name = "memory_limits"
    provides = (LIMITS,)
    stand_in = True

    @asynccontextmanager
    async def lifespan(self) -> AsyncIterator[None]:
        """Begin with nothing used."""
        buckets = Buckets(self.host.clock, keys_max=self.settings.keys_max)
        self.provide(LIMITS, LimitsInMemory(buckets))
        yield
