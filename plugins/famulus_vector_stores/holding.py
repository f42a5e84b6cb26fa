"""How much the vector stores of each project hold."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import msgspec

from famulus_schemas.records import SystemRecords

STORES_PER_READ = 500


class _Sized(msgspec.Struct):
    """What counts of a store's body."""

    usage_bytes: int = 0


_decode = msgspec.json.Decoder(_Sized).decode


async def held(records: SystemRecords) -> Mapping[str, int]:
    """The bytes of all stores, by their projects: every store is looked at."""
    found: Counter[str] = Counter()
    after = 0
    while some := await records.scan("vector_store", after_seq=after, limit=STORES_PER_READ):
        for record in some:
            found[record.project] += _decode(record.body).usage_bytes
        after = some[-1].seq
    return found
