"""All limits of one process, as LIMITS promises them, but for being asked without waiting."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from famulus.buckets import Buckets
from famulus.slots import Slots
from famulus_schemas.limits import Full, Hold, Limit, Refused, Slot, Taken, first_full


class LocalLimits:
    """Rates and slots, each a bounded table."""

    def __init__(self, clock: Callable[[], float], *, keys_max: int) -> None:
        self.buckets = Buckets(clock, keys_max=keys_max)
        self.slots = Slots(clock, keys_max=keys_max)

    def take(self, project: str, limits: Sequence[Limit]) -> Taken | Refused:
        """As `Limits.take`."""
        return self.buckets.take(project, limits)

    def settle(self, project: str, limits: Sequence[Limit]) -> None:
        """As `Limits.settle`."""
        self.buckets.settle(project, limits)

    def hold(
        self, project: str, hold: Hold, limits: Sequence[Limit] = ()
    ) -> Taken | Refused | Full:
        """As `Limits.hold`."""
        held = self.slots.others(project, hold.slots, than=hold.holder)
        which = first_full(hold.slots, held)
        if which is not None:
            asked = self.buckets.ask(project, limits)
            if isinstance(asked, Refused):
                return asked
            # They were not taken: as they stand without that.
            now = self.buckets.standings(project, limits)
            return Full(which=which, held=held, standings=now)
        outcome = self.buckets.take(project, limits)
        if isinstance(outcome, Taken):
            self.slots.put(project, hold)
        return outcome

    def held(self, project: str, slots: Sequence[Slot]) -> tuple[int, ...]:
        """As `Limits.held`."""
        return self.slots.others(project, slots)
