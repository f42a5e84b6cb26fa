"""What can be read of the writer."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from famulus_schemas.gauges import Gauge

if TYPE_CHECKING:
    from famulus_sqlite.database import Database
    from famulus_sqlite.writer import Writer


def writer_gauges(opened: Callable[[], Database | None]) -> list[Gauge]:
    """Of whatever database is open when they are read; 0 while none is."""

    def of(figure: Callable[[Writer], float]) -> Callable[[], float]:
        def read() -> float:
            database = opened()
            return figure(database.writer) if database else 0.0

        return read

    return [
        Gauge(
            name="famulus_sqlite_units_waiting",
            help="Units that wait to be written, besides those that are being written.",
            read=of(lambda writer: float(writer.waiting)),
        ),
        Gauge(
            name="famulus_sqlite_units_total",
            help="Units that were taken to be written; some of them were refused.",
            read=of(lambda writer: float(writer.written.units)),
        ),
        Gauge(
            name="famulus_sqlite_commits_total",
            help="Commits; each writes all units that waited for it.",
            read=of(lambda writer: float(writer.written.batches)),
        ),
        Gauge(
            name="famulus_sqlite_commit_seconds_total",
            help="Seconds that commits took, each with the sync to disk.",
            read=of(lambda writer: writer.written.seconds),
        ),
    ]
