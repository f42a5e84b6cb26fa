"""Limits: how much of what may be used in which time, and how much may be at work at once.

Every rate is a leaking bucket (GCRA, counted in units): what is taken fills it, and it leaks at
`rate`. In any time no more is admitted than `burst` and what leaks meanwhile.

A slot is held for as long as something is at work. It is lent: who does not renew it in time, as
one that died, has given it back.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import msgspec


class Limit(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One limit, and what is wanted of it."""

    key: str
    """What is limited, within its project: such as `requests of key_1`."""
    rate: float
    """Units that come back each second; more than 0."""
    burst: float
    """Units that may be used at once, from rest; more than 0."""
    cost: float = 1.0
    """Units that are wanted; 0 only asks."""


class Standing(msgspec.Struct, frozen=True, gc=False):
    """How one limit stands."""

    remaining: float
    """Units that may be used at once, now."""
    reset_s: float
    """Seconds until all of them may be, if nothing is used meanwhile."""


class Taken(msgspec.Struct, frozen=True, kw_only=True, gc=False):
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


class Reserved(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What was taken for something that goes on when its request is over, to be settled then.

    It is kept with that, and settled as it was taken, whatever is limited by then.
    """

    tokens: tuple[Limit, ...] = ()
    """Limits of tokens that its models read and write."""
    requests: tuple[Limit, ...] = ()
    """Limits of requests to its model; the first is taken."""


class Slot(msgspec.Struct, frozen=True, kw_only=True):
    """Something that only so many may have at once."""

    key: str
    """What is held, within its project: such as `runs of key_1`."""
    at_once_max: int
    """How many may hold it at once; 1 at least."""


class Hold(msgspec.Struct, frozen=True, kw_only=True):
    """One holder's slots, which it has or has not together."""

    holder: str
    """Who holds them; unique within the project."""
    slots: tuple[Slot, ...]
    lease_s: float
    """Seconds until they are given back, unless they are renewed before."""


class Full(msgspec.Struct, frozen=True, kw_only=True):
    """There is no room in a slot: nothing was taken. It is free when one of its holders is done."""

    which: int
    """The first slot without room, by its place among those that were wanted."""
    held: tuple[int, ...]
    """How many others hold each."""
    standings: tuple[Standing, ...] = ()
    """How the limits stand that were wanted with it."""


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """How limits and slots stand in all processes."""

    standings: tuple[Standing, ...]
    held: tuple[int, ...]
    """How many hold each slot."""


class Limits(Protocol):
    """Keeps the limits of projects, for all processes that share them."""

    async def take(self, project: str, limits: Sequence[Limit]) -> Taken | Refused:
        """Take what is wanted of all of these limits, or nothing of any.

        Raises ValueError for a cost that is negative or more than its burst, which would never
        be admitted, and for a key that is given twice. Never raises because limits cannot be
        reached: then a process keeps to its share of them by itself.
        """
        ...

    def take_now(self, project: str, limits: Sequence[Limit]) -> Taken | Refused | None:
        """As `take`, where nobody has to be waited for; None, and nothing taken, where one has."""
        ...

    async def settle(self, project: str, limits: Sequence[Limit]) -> None:
        """Correct what was taken, once it is known what was used: `cost` is the difference.

        A negative one gives back; a limit that nothing is taken of gives nothing more. A positive
        one is taken whether or not it fits: what is owed is waited for before more is admitted.
        """
        ...

    async def hold(
        self, project: str, hold: Hold, limits: Sequence[Limit] = ()
    ) -> Taken | Refused | Full:
        """Hold all of these slots and take all of these limits, or nothing of any.

        Refused where a limit is what is missing, whatever the slots. Who holds a slot already
        holds it once, and for `lease_s` from now on. Raises ValueError as `take`, and for a slot
        that is given twice or has no room for one; never because limits cannot be reached: then a
        process keeps to its share of each slot, and to one of it at least.
        """
        ...

    async def renew(self, project: str, hold: Hold) -> None:
        """Hold these slots for `lease_s` from now on, whether or not there is room.

        For who is at work, and whose slots may have been lost: others wait until there is room.
        """
        ...

    async def release(self, project: str, hold: Hold) -> None:
        """Give these slots back at once; those that are not held are left alone."""
        ...

    async def held(self, project: str, slots: Sequence[Slot]) -> tuple[int, ...]:
        """How many hold each of these slots now, as far as this process can tell."""
        ...

    async def seen(
        self, project: str, limits: Sequence[Limit], slots: Sequence[Slot]
    ) -> Seen | None:
        """How all of it stands, of whatever process; nothing is taken, whatever they cost.

        None where each process knows of itself alone, or what they share cannot be reached.
        """
        ...


def refuse_impossible(limits: Sequence[Limit]) -> None:
    """Raise ValueError for what `take` can never admit."""
    # Most often there are two, that of a key and that of its project.
    if len(limits) == 2:
        is_twice = limits[0].key == limits[1].key
    else:
        is_twice = len(limits) > 2 and len({limit.key for limit in limits}) != len(limits)
    if is_twice:
        raise ValueError("a limit is given twice")
    for limit in limits:
        if not 0 <= limit.cost <= limit.burst:
            raise ValueError(f"{limit.cost:g} of at most {limit.burst:g} are wanted: {limit.key}")


def refuse_impossible_hold(slots: Sequence[Slot]) -> None:
    """Raise ValueError for slots that nobody can ever hold."""
    if len({slot.key for slot in slots}) != len(slots):
        raise ValueError("a slot is given twice")
    for slot in slots:
        if slot.at_once_max < 1:
            raise ValueError(f"nobody can hold one of {slot.at_once_max}: {slot.key}")


def first_full(slots: Sequence[Slot], held: Sequence[int]) -> int | None:
    """The first slot without room for one more than those that hold it; None where all have."""
    for at, (slot, others) in enumerate(zip(slots, held, strict=True)):
        if others >= slot.at_once_max:
            return at
    return None
