"""Trying a coroutine on many examples."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Coroutine
from typing import Any

import anyio.from_thread
import anyio.to_thread
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.strategies import SearchStrategy, tuples


async def tried(
    compare: Callable[..., Coroutine[Any, Any, None]],
    *strategies: SearchStrategy[Any],
    examples: int,
) -> None:
    """Await `compare(number, *example)` for many examples, each with a number of its own."""
    numbers = itertools.count()

    @settings(
        max_examples=examples,
        deadline=None,
        phases=set(Phase) - {Phase.explain},
        suppress_health_check=[HealthCheck.too_slow],
    )
    @given(tuples(*strategies))
    def each(example: tuple[Any, ...]) -> None:
        anyio.from_thread.run(compare, next(numbers), *example)

    # Hypothesis is no coroutine: it runs in a thread, and each example back here.
    await anyio.to_thread.run_sync(each)
