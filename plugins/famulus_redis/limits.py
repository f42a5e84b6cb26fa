"""LIMITS in Redis, and this process's share of them while Redis is away."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple

from msgspec.structs import replace
from redis.exceptions import RedisError

from famulus.buckets import standing, wait_s
from famulus.local_limits import LocalLimits
from famulus_redis.asking import Asking
from famulus_redis.script import ARITHMETIC
from famulus_schemas.limits import (
    Full,
    Hold,
    Limit,
    Refused,
    Seen,
    Slot,
    Taken,
    first_full,
    refuse_impossible,
    refuse_impossible_hold,
)

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from famulus.log import Log
    from famulus_redis.settings import RedisSettings

_KEY_BYTES = 16
"""128 bits of a hash: names of any length and form, and no two that meet."""

AWAY = (OSError, RedisError, TimeoutError)

NOTHING = Hold(holder="", slots=(), lease_s=0.0)


class SharedLimits:
    """The limits of all processes that use this Redis. It is asked once for all limits of a call.

    `clock` takes the place of the server's time in tests.
    """

    def __init__(
        self,
        client: Redis,
        settings: RedisSettings,
        *,
        local_clock: Callable[[], float],
        log: Log,
        clock: Callable[[], float] | None = None,
    ) -> None:
        self._asking = Asking(client, ARITHMETIC, timeout_s=settings.timeout_s)
        self._settings = settings
        self._clock = clock
        self._log = log
        self._local = LocalLimits(local_clock, keys_max=settings.local_keys_max)
        self._ask_again_at = 0.0
        self.away_because: str | None = None
        """Why Redis is not used now, or None while it is."""

    async def close(self) -> None:
        """Wait for no answer any more."""
        await self._asking.close()

    async def take(self, project: str, limits: Sequence[Limit]) -> Taken | Refused:
        """Take all or nothing."""
        refuse_impossible(limits)
        if not limits:
            return Taken(standings=())
        answer = await self._ask("take", project, limits)
        if answer is None:
            return self._local.take(project, [self._share(limit) for limit in limits])
        return _refused(limits, answer) or _taken(limits, answer)

    def take_now(self, project: str, limits: Sequence[Limit]) -> Taken | Refused | None:
        """Nothing: Redis is asked first, whether or not it answers."""
        return None

    async def settle(self, project: str, limits: Sequence[Limit]) -> None:
        """Correct what was taken; what was taken elsewhere than it is settled evens out in time."""
        if limits and await self._ask("settle", project, limits) is None:
            self._local.settle(project, [self._part(limit) for limit in limits])

    async def hold(
        self, project: str, hold: Hold, limits: Sequence[Limit] = ()
    ) -> Taken | Refused | Full:
        """Hold and take all or nothing."""
        refuse_impossible(limits)
        refuse_impossible_hold(hold.slots)
        answer = await self._ask("take", project, limits, hold)
        if answer is None:
            slots = tuple(self._part_of_slot(slot) for slot in hold.slots)
            parts = [self._share(limit) for limit in limits]
            return self._local.hold(project, replace(hold, slots=slots), parts)
        if answer.fits:
            # So that it is known here who is at work, should Redis go away.
            self._local.slots.put(project, hold)
            return _taken(limits, answer)
        if (refused := _refused(limits, answer)) is not None:
            return refused
        which = first_full(hold.slots, answer.others)
        assert which is not None
        standings = tuple(map(standing, limits, answer.levels))
        return Full(which=which, held=answer.others, standings=standings)

    async def renew(self, project: str, hold: Hold) -> None:
        """Hold them from now on; a Redis that has lost them knows of them again."""
        self._local.slots.put(project, hold)
        await self._ask("settle", project, (), hold)

    async def release(self, project: str, hold: Hold) -> None:
        """Hold them no longer; what Redis is not told it finds out by the lease."""
        self._local.slots.release(project, hold)
        await self._ask("release", project, (), hold)

    async def held(self, project: str, slots: Sequence[Slot]) -> tuple[int, ...]:
        """How many hold each; while Redis is away, how many of this process."""
        nobody = Hold(holder="", slots=tuple(slots), lease_s=0.0)
        answer = await self._ask("look", project, (), nobody)
        return self._local.held(project, slots) if answer is None else answer.others

    async def seen(
        self, project: str, limits: Sequence[Limit], slots: Sequence[Slot]
    ) -> Seen | None:
        """How all of it stands; None while Redis is away."""
        nobody = Hold(holder="", slots=tuple(slots), lease_s=0.0)
        answer = await self._ask("look", project, limits, nobody)
        if answer is None:
            return None
        standings = tuple(map(standing, limits, answer.levels))
        return Seen(standings=standings, held=answer.others)

    async def probe(self) -> str | None:
        """Why Redis is away, or None where it answers."""
        await self._ask("take", "", [Limit(key="probe", rate=1, burst=1, cost=0)])
        return self.away_because

    async def _ask(
        self,
        what: Literal["take", "settle", "release", "look"],
        project: str,
        limits: Sequence[Limit],
        hold: Hold = NOTHING,
    ) -> _Answer | None:
        """What the script answers; None while Redis is away."""
        loop = asyncio.get_running_loop()
        if self.away_because is not None and loop.time() < self._ask_again_at:
            return None
        # Of all that wait, one asks whether it is back.
        self._ask_again_at = loop.time() + self._settings.retry_s
        now = "" if self._clock is None else f"{self._clock() * 1e6:.0f}"
        numbers = [f"{n:.17g}" for one in limits for n in (one.rate, one.burst, one.cost)]
        lease = [hold.holder, f"{hold.lease_s * 1e6:.0f}"]
        lease += [str(slot.at_once_max) for slot in hold.slots]
        arguments = [what, now, str(len(limits)), *numbers, *lease]
        try:
            keys = self._keys(project, limits, hold)
            fits, *rest = await self._asking.ask(keys, arguments)
        except AWAY as error:
            self._is_away(error)
            return None
        if self.away_because is not None:
            self._log.info("redis_is_back")
            self.away_because = None
        levels, others = rest[: len(limits)], rest[len(limits) :]
        return _Answer(fits == 1, [float(level) for level in levels], tuple(map(int, others)))

    def _is_away(self, error: Exception) -> None:
        reason = str(error) or f"no answer within {self._settings.timeout_s:g} s"
        if self.away_because is None:
            replicas = self._settings.replicas
            self._log.error("redis_is_away", reason=reason, limits=f"1/{replicas} of each, here")
        self.away_because = reason
        self._ask_again_at = asyncio.get_running_loop().time() + self._settings.retry_s

    def _keys(self, project: str, limits: Sequence[Limit], hold: Hold) -> list[str]:
        # Braces: a cluster keeps together what it has to reckon with together.
        place = f"{self._settings.prefix}limits:{{{_hashed(project)}}}:"
        buckets = [place + _hashed(limit.key) for limit in limits]
        return buckets + [f"{place}held:{_hashed(slot.key)}" for slot in hold.slots]

    def _share(self, limit: Limit) -> Limit:
        """This process's part of a limit; a cost that is more than that takes all of it."""
        part = self._part(limit)
        return replace(part, cost=min(part.cost, part.burst))

    def _part(self, limit: Limit) -> Limit:
        replicas = self._settings.replicas
        # One at least: a part of a request is none.
        burst = max(limit.burst / replicas, min(limit.burst, 1.0))
        return replace(limit, rate=limit.rate / replicas, burst=burst)

    def _part_of_slot(self, slot: Slot) -> Slot:
        return replace(slot, at_once_max=max(1, slot.at_once_max // self._settings.replicas))


class _Answer(NamedTuple):
    """What the script says."""

    fits: bool
    levels: list[float]
    others: tuple[int, ...]


def _taken(limits: Sequence[Limit], answer: _Answer) -> Taken:
    return Taken(standings=tuple(map(standing, limits, answer.levels)))


def _refused(limits: Sequence[Limit], answer: _Answer) -> Refused | None:
    """The refusal by a limit, if one is what is missing."""
    if answer.fits:
        return None
    waits = [wait_s(limit, level) for limit, level in zip(limits, answer.levels, strict=True)]
    if (longest := max(waits, default=0.0)) <= 0:
        return None
    standings = tuple(map(standing, limits, answer.levels))
    return Refused(which=waits.index(longest), retry_after_s=longest, standings=standings)


def _hashed(name: str) -> str:
    return hashlib.blake2b(name.encode(), digest_size=_KEY_BYTES).hexdigest()
