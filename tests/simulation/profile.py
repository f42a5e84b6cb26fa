"""What one seed is like: how many servers, how slow, and which faults how often.

Each seed has only some kinds of fault, because a history in which everything fails tests little.
"""

from __future__ import annotations

from random import Random

import msgspec


class Profile(msgspec.Struct, frozen=True, kw_only=True):
    """The circumstances of one seed. Rates of faults are for each moment at which one can be."""

    servers: int
    exclusive: bool
    """One server at a time has the store, as with SQLite."""
    threads: int
    latency_s: float
    """The most that a store or a connection takes."""
    skew_s: float
    """How far the clocks of servers are apart, at most."""
    runs_at_once_max: int
    waiting_events_max: int
    finish_s: float
    pause_s: float
    """Between two pieces of a model's answer, at most."""

    crash: float = 0.0
    freeze: float = 0.0
    refuse: float = 0.0
    """The store refuses, and writes nothing."""
    unknown: float = 0.0
    """The store writes, and does not say so."""
    cut_off: float = 0.0
    """The store cannot be reached from one server for a while."""
    lost: float = 0.0
    """An event on its way to another server."""
    doubled: float = 0.0
    late: float = 0.0
    model_fails: float = 0.0
    model_hangs: float = 0.0


def profile_of(rng: Random) -> Profile:
    """The circumstances that a seed gives."""
    exclusive = rng.random() < 0.2

    def sometimes(*rates: float) -> float:
        return rng.choice(rates) if rng.random() < 0.4 else 0.0

    return Profile(
        servers=1 if exclusive else rng.choice((1, 2, 2, 3)),
        exclusive=exclusive,
        threads=rng.choice((1, 2, 3)),
        latency_s=rng.choice((0.0, 0.005, 0.05, 0.3)),
        skew_s=rng.choice((0.0, 0.0, 3.0)),
        runs_at_once_max=rng.choice((1, 2, 256)),
        waiting_events_max=rng.choice((4, 4096, 4096)),
        finish_s=rng.choice((0.0, 0.5)),
        pause_s=rng.choice((0.0, 0.2, 0.6)),
        crash=sometimes(0.003, 0.01, 0.02),
        freeze=sometimes(0.003, 0.01, 0.02),
        refuse=sometimes(0.01, 0.05),
        unknown=sometimes(0.01, 0.05),
        cut_off=sometimes(0.003, 0.01),
        lost=sometimes(0.05, 0.3, 1.0),
        doubled=sometimes(0.2),
        late=sometimes(0.3),
        model_fails=sometimes(0.1, 0.3),
        model_hangs=sometimes(0.05),
    )
