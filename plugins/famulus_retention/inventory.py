"""How much of a project there is, everywhere: records, blobs, and where plugins keep more."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import msgspec

from famulus_retention.known import Known
from famulus_schemas.blobs import Blobs
from famulus_schemas.records import SystemRecords

TRACES = "traces of deleted records"
BLOBS = "blobs"


class Inventory(msgspec.Struct, frozen=True, kw_only=True):
    """What was counted."""

    counts: Mapping[str, int]
    """By kind of record or by place; only where there is something."""
    bytes: int = 0
    """Of records and blobs."""

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing at all."""
        return not self.counts


async def taken(
    project: str, *, records: SystemRecords, blobs: Blobs, known: Known, keep: Collection[str] = ()
) -> Inventory:
    """Look through every table, the whole blob store and all places. `keep` is not counted."""
    census = await records.census(project)
    counts = {kind: n for kind, n in sorted(census.records.items()) if kind not in keep}
    counts[TRACES] = sum(n for kind, n in census.traces.items() if kind not in keep)
    size, number = census.bytes, 0
    async for blob in blobs.stored():
        if blob.project == project:
            number, size = number + 1, size + blob.bytes
    counts[BLOBS] = number
    for place in known.places:
        counts[place.name] = await place.count(project)
    return Inventory(counts={name: n for name, n in counts.items() if n}, bytes=size)
