"""How much of a project there is, everywhere: records, blobs, and where plugins keep more."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping, Sequence

import msgspec

from famulus_retention.known import Known
from famulus_schemas.blobs import Blobs
from famulus_schemas.records import Record, SystemRecords
from famulus_schemas.retention import DataKind

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
    project: str,
    *,
    records: SystemRecords,
    blobs: Blobs,
    known: Known,
    keep: Collection[str] = (),
    more: Sequence[DataKind] = (),
) -> Inventory:
    """Look through every table, the whole blob store and all places.

    Kinds of record in `keep` are not counted. Those of `more` are, whosever they are.
    """
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
    async for data, record in told_elsewhere(project, records, more):
        counts[data.kind] = counts.get(data.kind, 0) + 1
        size += len(record.body) + len(record.extra)
    return Inventory(counts={name: n for name, n in counts.items() if n}, bytes=size)


async def told_elsewhere(
    project: str, records: SystemRecords, kinds: Sequence[DataKind]
) -> AsyncIterator[tuple[DataKind, Record]]:
    """Records that tell of a project, and are not its own."""
    for data in kinds:
        after = 0
        while data.about is not None and (found := await records.scan(data.kind, after_seq=after)):
            after = found[-1].seq
            for record in found:
                if record.project != project and data.about(record) == project:
                    yield data, record
