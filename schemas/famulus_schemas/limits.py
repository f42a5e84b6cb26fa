"""Rate limits: how much of what may be used in which time, taken before it is used.

Every limit is a leaking bucket (GCRA, counted in units): what is taken fills it, and it leaks at
`rate`. In any time no more is admitted than `burst` and what leaks meanwhile.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import msgspec


class Limit(msgspec.Struct, frozen=True, kw_only=True):
    """One limit, and what is wanted of it."""

    key: str
    """What is limited, within its project: such as `requests of key_1`."""
    rate: float
    """Units that come back each second; more than 0."""
    burst: float
    """Units that may be used at once, from rest; more than 0."""
    cost: float = 1.0
    """Units that are wanted; 0 only asks."""


class Standing(msgspec.Struct, frozen=True):
    """How one limit stands."""

    remaining: float
    """Units that may be used at once, now."""
    reset_s: float
    """Seconds until all of them may be, if nothing is used meanwhile."""


class Taken(msgspec.Struct, frozen=True, kw_only=True):
    """All that was wanted was taken."""

    standings: tuple[Standing, ...]
    """How each limit stands now, in the order in which they were given."""


class Refused(msgspec.Struct, frozen=True, kw_only=True):
    """Nothing was taken."""

    which: int
    """The limit that has to be waited for longest, by its place among those that were given."""
    retry_after_s: float
    """After so long, to the millisecond above, the same is admitted unless others come first."""
    standings: tuple[Standing, ...]


class Limits(Protocol):
    """Keeps the limits of projects, for all processes that share them."""

    async def take(self, project: str, limits: Sequence[Limit]) -> Taken | Refused:
        """Take what is wanted of all of these limits, or nothing of any.

        Raises ValueError for a cost that is negative or more than its burst, which would never
        be admitted, and for a key that is given twice. Never raises because limits cannot be
        reached: then a process keeps to its share of them by itself.
        """
        ...

    async def settle(self, project: str, limits: Sequence[Limit]) -> None:
        """Correct what was taken, once it is known what was used: `cost` is the difference.

        A negative one gives back; a limit that nothing is taken of gives nothing more. A positive
        one is taken whether or not it fits: what is owed is waited for before more is admitted.
        """
        ...


def refuse_impossible(limits: Sequence[Limit]) -> None:
    """Raise ValueError for what `take` can never admit."""
    if len(limits) > 1 and len({limit.key for limit in limits}) != len(limits):
        raise ValueError("a limit is given twice")
    for limit in limits:
        if not 0 <= limit.cost <= limit.burst:
            raise ValueError(f"{limit.cost:g} of at most {limit.burst:g} are wanted: {limit.key}")
