"""The slots that this process holds, and how they are kept for as long as something is at work."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from famulus_rate_limits.policy import Place
from famulus_schemas.gauges import Values
from famulus_schemas.limits import Full, Hold, Limit, Limits, Refused, Taken

RENEWALS = 3
"""In the time of one lease: two may fail before it is over."""


class Leases:
    """Slots by project and holder. What is not released ends with its lease."""

    def __init__(self, limits: Limits, *, holder: str, lease_s: float) -> None:
        self._limits = limits
        self._holder = holder
        """This process: of two that want to do the same, each holds what is its own."""
        self._lease_s = lease_s
        self._held: dict[tuple[str, str], tuple[Hold, Sequence[Place]]] = {}
        self._releasing: set[asyncio.Task[None]] = set()

    async def hold(
        self, project: str, what: str, places: Sequence[Place], limits: Sequence[Limit] = ()
    ) -> Taken | Refused | Full:
        """Hold all of these places and take all of these limits, or nothing; `what` is unique."""
        slots = tuple(place.slot for place in places)
        hold = Hold(holder=f"{what}@{self._holder}", slots=slots, lease_s=self._lease_s)
        outcome = await self._limits.hold(project, hold, limits)
        if isinstance(outcome, Taken):
            self._held[project, what] = hold, places
        return outcome

    async def release(self, project: str, what: str) -> None:
        """Give back what is held for this, if anything is."""
        if (held := self._held.pop((project, what), None)) is not None:
            await self._limits.release(project, held[0])

    def release_soon(self, project: str, what: str) -> None:
        """As `release`, for who cannot wait for it any more."""
        task = asyncio.create_task(self.release(project, what))
        self._releasing.add(task)
        task.add_done_callback(self._releasing.discard)

    async def keep(self) -> None:
        """Renew all that is held, for ever."""
        while True:
            await asyncio.sleep(self._lease_s / RENEWALS)
            for place, (hold, _) in list(self._held.items()):
                # It may have been released while others were renewed.
                if place not in self._held:
                    continue
                await self._limits.renew(place[0], hold)
                if place not in self._held:
                    await self._limits.release(place[0], hold)

    async def close(self) -> None:
        """Give all of it back."""
        for project, what in list(self._held):
            await self.release(project, what)
        await asyncio.gather(*self._releasing)

    def count(self) -> Values:
        """How many runs and answers hold places here."""
        counts: dict[tuple[str, ...], float] = {("runs",): 0.0, ("answers",): 0.0}
        for _, places in self._held.values():
            counts[places[0].what,] += 1
        return counts
