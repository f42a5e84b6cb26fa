"""Limits counted in this process: a bounded table of leaking buckets, for any clock."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Sequence

from famulus_schemas.limits import Limit, Refused, Standing, Taken, refuse_impossible

ROUNDING = 1e-9
"""Of a burst: what sums of fractions may be wrong by. Without it, who waited as told is refused."""


class _Bucket:
    """How full one was, and when."""

    __slots__ = ("at", "level")

    def __init__(self, level: float, at: float) -> None:
        self.level = level
        self.at = at


class Buckets:
    """Buckets by key. A full table forgets the one that was used longest ago, with what it owes."""

    def __init__(self, clock: Callable[[], float], *, keys_max: int) -> None:
        self._clock = clock
        self._keys_max = keys_max
        self._buckets: OrderedDict[tuple[str, str], _Bucket] = OrderedDict()
        """In the order of their use."""

    def __len__(self) -> int:
        return len(self._buckets)

    def take(self, project: str, limits: Sequence[Limit]) -> Taken | Refused:
        """As `Limits.take`."""
        now = self._clock()
        buckets = self._buckets
        found, standings = [], []
        # Of every request, and nearly always there is room: one plain loop, without a call.
        for limit in limits:
            place = (project, limit.key)
            bucket = buckets.get(place)
            rate, full = limit.rate, limit.cost
            if bucket is None or full <= 0.0:
                return self._taken_slowly(project, limits, now)
            level, at = bucket.level, bucket.at
            if now > at:
                level -= (now - at) * rate
            if level > 0.0:
                full += level
            remaining = limit.burst - full
            if remaining < 0.0:
                return self._taken_slowly(project, limits, now)
            found.append((place, bucket, full))
            standings.append(Standing(remaining, full / rate))
        if len(found) == 2:
            is_twice = found[0][1] is found[1][1]
        else:
            is_twice = len({place for place, _, _ in found}) != len(found)
        if is_twice:
            return self._taken_slowly(project, limits, now)
        for place, bucket, full in found:
            bucket.level, bucket.at = full, now
            buckets.move_to_end(place)
        return Taken(standings=tuple(standings))

    def ask(self, project: str, limits: Sequence[Limit]) -> Taken | Refused:
        """What `take` would answer now; nothing is taken."""
        return self._judged(project, limits, self._clock())[1]

    def standings(self, project: str, limits: Sequence[Limit]) -> tuple[Standing, ...]:
        """How each limit stands, whatever is wanted of it."""
        now = self._clock()
        return tuple(standing(limit, self._level(project, limit, now)) for limit in limits)

    def settle(self, project: str, limits: Sequence[Limit]) -> None:
        """As `Limits.settle`."""
        now = self._clock()
        levels = [max(0.0, self._level(project, each, now) + each.cost) for each in limits]
        self._keep(project, limits, levels, now)

    def _taken_slowly(self, project: str, limits: Sequence[Limit], now: float) -> Taken | Refused:
        filled, outcome = self._judged(project, limits, now)
        if type(outcome) is Taken:
            self._keep(project, limits, filled, now)
        return outcome

    def _judged(
        self, project: str, limits: Sequence[Limit], now: float
    ) -> tuple[list[float], Taken | Refused]:
        """How full each bucket would be, and the answer."""
        refuse_impossible(limits)
        levels = [self._level(project, limit, now) for limit in limits]
        if refused := _refused(limits, levels):
            return levels, refused
        filled = [level + limit.cost for limit, level in zip(limits, levels, strict=True)]
        return filled, Taken(standings=tuple(map(standing, limits, filled)))

    def _level(self, project: str, limit: Limit, now: float) -> float:
        bucket = self._buckets.get((project, limit.key))
        if bucket is None:
            return 0.0
        level = bucket.level
        # Of a clock that was set back, nothing leaks once; it must not stand still until then.
        if now > bucket.at:
            level -= (now - bucket.at) * limit.rate
        return level if level > 0.0 else 0.0

    def _keep(
        self, project: str, limits: Sequence[Limit], levels: Sequence[float], now: float
    ) -> None:
        buckets = self._buckets
        for limit, level in zip(limits, levels, strict=True):
            place = (project, limit.key)
            if level <= 0.0:
                buckets.pop(place, None)
                continue
            buckets[place] = _Bucket(level, now)
            buckets.move_to_end(place)
        while len(buckets) > self._keys_max:
            buckets.popitem(last=False)


def _refused(limits: Sequence[Limit], levels: Sequence[float]) -> Refused | None:
    """The refusal, unless what is over is so by rounding alone."""
    waits = [wait_s(limit, level) for limit, level in zip(limits, levels, strict=True)]
    longest = max(waits, default=0.0)
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
