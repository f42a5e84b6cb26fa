"""A reading of everything: what was counted, and what others can be asked for now."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from famulus import __version__
from famulus_metrics.catalog import Catalog
from famulus_metrics.figures import Distribution, Figure, Read
from famulus_metrics.tally import Histogram
from famulus_schemas.gauges import Gauge, Values

if TYPE_CHECKING:
    from famulus.log import Log


def own_gauges() -> list[Gauge]:
    """What this plugin can itself be asked for."""
    return [
        Gauge(
            name="famulus_info",
            help="1, with the version of the server.",
            labels=("version",),
            read=lambda: {(__version__,): 1.0},
        )
    ]


class Reading:
    """Reads for whoever asks, one after the other."""

    def __init__(
        self, catalog: Catalog, *, gauges: Callable[[], Sequence[Gauge]], log: Log
    ) -> None:
        self._catalog = catalog
        self._gauges = gauges
        self._log = log
        self._faulty: set[str] = set()
        self._turn = asyncio.Lock()

    async def text(self, accept: str) -> tuple[bytes, str]:
        """All metrics and their content type, in the form that `accept` asks for.

        Only what must be is done on the event loop: writing down some hundred series takes longer
        than many requests together.
        """
        async with self._turn:
            return await asyncio.to_thread(_written, self._read(), accept)

    def _read(self) -> list[Read]:
        figures = self._figures()
        counted: list[Read] = []
        for each in self._catalog.all():
            if isinstance(each, Histogram):
                counted.append(
                    Distribution(each.name, each.help, each.labels, each.bounds, each.read())
                )
            else:
                counted.append(Figure(each.name, each.help, each.labels, each.read()))
        return [*counted, *figures]

    def _figures(self) -> list[Read]:
        found: dict[str, Read] = {}
        for gauge in self._gauges():
            values = self._values(gauge)
            if values is not None:
                # Of two plugins with one figure only one fills their port: the other says nothing.
                found.setdefault(gauge.name, Figure(gauge.name, gauge.help, gauge.labels, values))
        return list(found.values())

    def _values(self, gauge: Gauge) -> Values | None:
        try:
            value = gauge.read()
            values = value if isinstance(value, int | float) else dict(value)
        except Exception as error:  # Isolation: one figure that cannot be read costs only itself.
            self._catalog.gauge_faults.add()
            if gauge.name not in self._faulty:
                self._faulty.add(gauge.name)
                self._log.error("gauge_not_read", gauge=gauge.name, exc_info=error)
            return None
        return {(): float(values)} if isinstance(values, int | float) else values


def _written(read: Sequence[Read], accept: str) -> tuple[bytes, str]:
    # Imported here, beside the event loop: it takes as long as some hundred requests.
    from famulus_metrics.exposition import written

    return written(read, accept)
