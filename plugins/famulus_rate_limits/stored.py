"""Limits that were set while servers run, as all processes come to know of them."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Mapping
from types import MappingProxyType

import msgspec

from famulus_schemas.rate_limits import StoredRateLimit
from famulus_schemas.records import Kind, Record, StoreUnavailable, SystemRecords

KIND = Kind(name="rate_limit")
"""What was set for one model in a project, by its id over HTTP."""

REFRESH_S = 1.0
"""How long a process goes by what it has read."""
MODELS_MAX = 1_000
"""Models for which one project can have limits of its own."""
PROJECTS_MAX = 10_000
"""Projects whose limits are kept in memory at once."""

ByModel = Mapping[str, StoredRateLimit]
NONE: ByModel = MappingProxyType({})

_decode = msgspec.json.Decoder(StoredRateLimit).decode


def id_of(model: str) -> str:
    """The id of a model's limits, the same in each project; it can stand in a path."""
    return "rl-" + re.sub(r"[^A-Za-z0-9._-]", lambda found: f"~{ord(found[0]):02x}~", model)


def stored_of(record: Record) -> StoredRateLimit:
    """What a record says."""
    return _decode(record.body)


class View(msgspec.Struct, frozen=True):
    """What was read of a project, and when."""

    at: float
    limits: ByModel


class StoredLimits:
    """Read when they are asked for, once in `REFRESH_S`, and only where any were ever set.

    Who finds them old reads them anew; whoever asks meanwhile goes by what was known.
    """

    def __init__(self, records: SystemRecords | None, clock: Callable[[], float]) -> None:
        self._records = records
        self._clock = clock
        self._views: dict[str, View] = {}
        self._are_any = False
        self._looked_at: float | None = None

    async def of(self, project: str) -> ByModel:
        """The limits of a project, by model; those that were known where the store is away."""
        if self._records is None or not await self._any(self._records):
            return NONE
        view, now = self._views.get(project), self._clock()
        known = NONE if view is None else view.limits
        if view is not None and 0 <= now - view.at < REFRESH_S:
            return known
        self._keep(project, View(now, known))
        try:
            limits = await self.read(project)
        except StoreUnavailable:
            return known
        self._keep(project, View(now, limits))
        return limits

    async def read(self, project: str) -> ByModel:
        """The limits of a project as they are now."""
        if self._records is None:
            return NONE
        page = await self._records.of(project).page(KIND.name, order="asc", limit=MODELS_MAX)
        found = map(stored_of, page.records)
        return {stored.model: stored for stored in found}

    def forget(self, project: str) -> None:
        """Read a project's anew when they are next asked for: they were changed here."""
        self._views.pop(project, None)
        self._looked_at = None

    async def _any(self, records: SystemRecords) -> bool:
        now = self._clock()
        if self._looked_at is not None and 0 <= now - self._looked_at < REFRESH_S:
            return self._are_any
        self._looked_at = now
        with contextlib.suppress(StoreUnavailable):
            self._are_any = bool(await records.scan(KIND.name, limit=1))
        return self._are_any

    def _keep(self, project: str, view: View) -> None:
        self._views.pop(project, None)
        while len(self._views) >= PROJECTS_MAX:
            del self._views[next(iter(self._views))]
        self._views[project] = view
