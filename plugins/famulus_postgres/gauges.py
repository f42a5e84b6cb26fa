"""What can be read of the writer and of the connections for reads."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from famulus_schemas.gauges import Gauge, Values

if TYPE_CHECKING:
    from famulus_postgres.database import Database


def store_gauges(opened: Callable[[], Database | None]) -> list[Gauge]:
    """Of whatever database is open when they are read; 0 while none is."""

    def of(figure: Callable[[Database], float]) -> Callable[[], float]:
        def read() -> float:
            database = opened()
            return figure(database) if database else 0.0

        return read

    def connections() -> Values:
        database = opened()
        busy, idle = database.pool.sizes if database else (0, 0)
        return {("busy",): float(busy), ("idle",): float(idle)}

    return [
        Gauge(
            name="famulus_postgres_units_waiting",
            help="Units that wait to be written, besides those that are being written.",
            read=of(lambda database: float(database.writer.waiting)),
        ),
        Gauge(
            name="famulus_postgres_units_total",
            help="Units that were taken to be written; some of them were refused.",
            read=of(lambda database: float(database.writer.units)),
        ),
        Gauge(
            name="famulus_postgres_commits_total",
            help="Commits; each writes all units that waited for it.",
            read=of(lambda database: float(database.writer.batches)),
        ),
        Gauge(
            name="famulus_postgres_commit_seconds_total",
            help="Seconds that commits took, from handing the units over to the server's answer.",
            read=of(lambda database: database.writer.seconds),
        ),
        Gauge(
            name="famulus_postgres_reads_waiting",
            help="Reads that wait for a connection.",
            read=of(lambda database: float(database.pool.waiting)),
        ),
        Gauge(
            name="famulus_postgres_connections",
            help="Connections for reads, busy or idle.",
            labels=("state",),
            read=connections,
        ),
    ]
