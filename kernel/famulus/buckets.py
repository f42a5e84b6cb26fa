"""Limits counted in this process: a bounded table of leaking buckets, for any clock."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from famulus_schemas.limits import Limit, Refused, Standing, Taken, refuse_impossible

ROUNDING = 1e-9
"""Of a burst: what sums of fractions may be wrong by. Without it, who waited as told is refused."""


class Buckets:
    """Buckets by key. A full table forgets the one that was used longest ago, with what it owes."""

    def __init__(self, clock: Callable[[], float], *, keys_max: int) -> None:
        self._clock = clock
        self._keys_max = keys_max
        self._levels: dict[tuple[str, str], tuple[float, float]] = {}
        """How full each was, and when."""

    def __len__(self) -> int:
        return len(self._levels)

    def take(self, project: str, limits: Sequence[Limit]) -> Taken | Refused:
        """As `Limits.take`."""
        now = self._clock()
        filled, outcome = self._judged(project, limits, now)
        if isinstance(outcome, Taken):
            for limit, level in zip(limits, filled, strict=True):
                self._keep(project, limit, level, now)
        return outcome

    def ask(self, project: str, limits: Sequence[Limit]) -> Taken | Refused:
        """What `take` would answer now; nothing is taken."""
        return self._judged(project, limits, self._clock())[1]

    def standings(self, project: str, limits: Sequence[Limit]) -> tuple[Standing, ...]:
        """How each limit stands, whatever is wanted of it."""
        now = self._clock()
        return tuple(standing(limit, self._level(project, limit, now)) for limit in limits)

    def _judged(
        self, project: str, limits: Sequence[Limit], now: float
    ) -> tuple[list[float], Taken | Refused]:
        """How full each bucket would be, and the answer."""
        refuse_impossible(limits)
        levels, filled, standings = [], [], []
        fits = True
        # One plain loop: a call by map() or a generator takes as long as all of a step here.
        for limit in limits:
            level = self._level(project, limit, now)
            full = level + limit.cost
            levels.append(level)
            filled.append(full)
            standings.append(standing(limit, full))
            if full > limit.burst:
                fits = False
        if fits or not (refused := _refused(limits, levels)):
            return filled, Taken(standings=tuple(standings))
        return levels, refused

    def settle(self, project: str, limits: Sequence[Limit]) -> None:
        """As `Limits.settle`."""
        now = self._clock()
        for limit in limits:
            level = self._level(project, limit, now)
            self._keep(project, limit, max(0.0, level + limit.cost), now)

    def _level(self, project: str, limit: Limit, now: float) -> float:
        known = self._levels.get((project, limit.key))
        if known is None:
            return 0.0
        level, at = known
        # Of a clock that was set back, nothing leaks once; it must not stand still until then.
        if now > at:
            level -= (now - at) * limit.rate
        return level if level > 0.0 else 0.0

    def _keep(self, project: str, limit: Limit, level: float, now: float) -> None:
        place = (project, limit.key)
        # Put behind all others: the order is that of use.
        self._levels.pop(place, None)
        if level <= 0.0:
            return
        while len(self._levels) >= self._keys_max:
            del self._levels[next(iter(self._levels))]
        self._levels[place] = (level, now)


def _refused(limits: Sequence[Limit], levels: Sequence[float]) -> Refused | None:
    """The refusal, unless what is over is so by rounding alone."""
    waits = [wait_s(limit, level) for limit, level in zip(limits, levels, strict=True)]
    longest = max(waits)
    if not longest:
        return None
    standings = tuple(map(standing, limits, levels))
    return Refused(which=waits.index(longest), retry_after_s=longest, standings=standings)


def wait_s(limit: Limit, level: float) -> float:
    """Seconds until the cost fits above this level, to the millisecond above; 0 if it does."""
    excess = level + limit.cost - limit.burst
    if excess <= limit.burst * ROUNDING:
        return 0.0
    return math.floor(excess / limit.rate * 1000 + 1) / 1000


def standing(limit: Limit, level: float) -> Standing:
    """How a limit stands whose bucket is so full."""
    remaining = limit.burst - level
    return Standing(remaining if remaining > 0.0 else 0.0, level / limit.rate)
