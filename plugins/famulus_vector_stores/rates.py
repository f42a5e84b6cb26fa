"""How often files may be added to a store: counted in this process, over the last minute."""

from __future__ import annotations

import math
from collections import OrderedDict, deque
from collections.abc import Callable

from famulus_schemas.errors import Problem
from famulus_vector_stores.faults import TOO_FAST

MINUTE_S = 60.0
STORES_MAX = 10_000
"""Stores whose last minute is remembered."""


class AttachRate:
    """Refuses what comes too often."""

    def __init__(self, limit: int, clock: Callable[[], float]) -> None:
        self._limit = limit
        self._clock = clock
        self._times: OrderedDict[tuple[str, str], deque[float]] = OrderedDict()

    def take(self, project: str, store_id: str) -> None:
        """Count one more. Raises Problem (429), with `retry-after`, over the limit."""
        now = self._clock()
        times = self._times.setdefault((project, store_id), deque())
        self._times.move_to_end((project, store_id))
        if len(self._times) > STORES_MAX:
            self._times.popitem(last=False)
        while times and times[0] <= now - MINUTE_S:
            times.popleft()
        if len(times) >= self._limit:
            wait_s = max(1, math.ceil(times[0] + MINUTE_S - now))
            raise Problem(
                TOO_FAST,
                headers={"retry-after": str(wait_s)},
                id=store_id,
                limit=self._limit,
            )
        times.append(now)
