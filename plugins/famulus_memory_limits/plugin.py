"""The plugin: LIMITS for one process."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from famulus import Plugin
from famulus.local_limits import LocalLimits
from famulus_memory_limits.settings import MemoryLimitsSettings
from famulus_schemas.limits import Full, Hold, Limit, Refused, Slot, Taken
from famulus_schemas.ports import LIMITS


class LimitsInMemory:
    """The limits of this process, which end with it."""

    def __init__(self, local: LocalLimits) -> None:
        self._local = local
        self.take_now = local.take
        """Nobody has to be waited for."""

    async def take(self, project: str, limits: Sequence[Limit]) -> Taken | Refused:
        """Take all or nothing."""
        return self._local.buckets.take(project, limits)

    async def settle(self, project: str, limits: Sequence[Limit]) -> None:
        """Correct what was taken."""
        self._local.settle(project, limits)

    async def hold(
        self, project: str, hold: Hold, limits: Sequence[Limit] = ()
    ) -> Taken | Refused | Full:
        """Hold and take all or nothing."""
        return self._local.hold(project, hold, limits)

    async def renew(self, project: str, hold: Hold) -> None:
        """Hold them from now on."""
        self._local.slots.put(project, hold)

    async def release(self, project: str, hold: Hold) -> None:
        """Hold them no longer."""
        self._local.slots.release(project, hold)

    async def held(self, project: str, slots: Sequence[Slot]) -> tuple[int, ...]:
        """How many hold each."""
        return self._local.held(project, slots)

    async def seen(self, project: str, limits: Sequence[Limit], slots: Sequence[Slot]) -> None:
        """Nothing: other processes have limits of their own."""


class MemoryLimits(Plugin[MemoryLimitsSettings]):
    """Provides LIMITS within this process."""

    name = "memory_limits"
    provides = (LIMITS,)
    stand_in = True

    @asynccontextmanager
    async def lifespan(self) -> AsyncIterator[None]:
        """Begin with nothing used."""
        local = LocalLimits(self.host.clock, keys_max=self.settings.keys_max)
        self.provide(LIMITS, LimitsInMemory(local))
        yield
