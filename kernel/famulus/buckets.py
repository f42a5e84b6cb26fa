"""Limits counted in this process: a bounded table of leaking buckets, for any clock."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from famulus_schemas.limits import Limit, Refused, Standing, Taken, refuse_impossible

_EMPTY = (0.0, math.inf)
"""A bucket that nothing is known of."""

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
        if type(outcome) is Taken:
            self._keep(project, limits, filled, now)
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
        known, filled, standings = self._levels, [], []
        fits = True
        # One plain loop: a call takes as long as all of a step here.
        for limit in limits:
            level, at = known.get((project, limit.key), _EMPTY)
            if now > at:
                level -= (now - at) * limit.rate
            full = (level if level > 0.0 else 0.0) + limit.cost
            remaining = limit.burst - full
            if remaining < 0.0:
                fits, remaining = False, 0.0
            filled.append(full)
            standings.append(Standing(remaining, full / limit.rate))
        if not fits:
            levels = [self._level(project, limit, now) for limit in limits]
            if refused := _refused(limits, levels):
                return levels, refused
        return filled, Taken(standings=tuple(standings))

    def settle(self, project: str, limits: Sequence[Limit]) -> None:
        """As `Limits.settle`."""
        now = self._clock()
        levels = [max(0.0, self._level(project, each, now) + each.cost) for each in limits]
        self._keep(project, limits, levels, now)

    def _level(self, project: str, limit: Limit, now: float) -> float:
        level, at = self._levels.get((project, limit.key), _EMPTY)
        # Of a clock that was set back, nothing leaks once; it must not stand still until then.
        if now > at:
            level -= (now - at) * limit.rate
        return level if level > 0.0 else 0.0

    def _keep(
        self, project: str, limits: Sequence[Limit], levels: Sequence[float], now: float
    ) -> None:
        kept = self._levels
        for limit, level in zip(limits, levels, strict=True):
            place = (project, limit.key)
            # Put behind all others: the order is that of use.
            kept.pop(place, None)
            if level > 0.0:
                kept[place] = (level, now)
        while len(kept) > self._keys_max:
            del kept[next(iter(kept))]


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
