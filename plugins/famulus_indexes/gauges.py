"""What can be read of the indexes that are open."""

from __future__ import annotations

from collections.abc import Callable

from famulus_indexes.indexes import Indexes
from famulus_schemas.gauges import Gauge


def index_gauges(opened: Callable[[], Indexes | None]) -> list[Gauge]:
    """Of whatever indexes are open when they are read; 0 while none are."""

    def of(figure: Callable[[Indexes], float]) -> Callable[[], float]:
        def read() -> float:
            indexes = opened()
            return figure(indexes) if indexes else 0.0

        return read

    return [
        Gauge(
            name="famulus_indexes_open",
            help="Vector stores whose index is open.",
            read=of(lambda indexes: float(indexes.open_count)),
        ),
        Gauge(
            name="famulus_indexes_memory_bytes",
            help="Bytes that the open indexes' vectors take in memory.",
            read=of(lambda indexes: float(indexes.size_bytes)),
        ),
    ]
