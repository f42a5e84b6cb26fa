"""The plugin: hears what happens, counts it, and serves what it counted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

from famulus import Bytes, Call, Operation, Plugin, hookimpl, operation, operations
from famulus_metrics.catalog import Catalog
from famulus_metrics.hearing import Counted, Hearing
from famulus_metrics.lag import watch_lag
from famulus_metrics.reading import Reading, own_gauges
from famulus_metrics.settings import MetricsSettings
from famulus_schemas.gauges import Gauge
from famulus_schemas.notices import RequestServed


class Metrics(Plugin[MetricsSettings]):
    """Serves `/metrics` for Prometheus."""

    name = "metrics"

    reading: Reading
    url: str | None = None
    """Where metrics are read without a key, if anywhere."""

    @asynccontextmanager
    async def lifespan(self) -> AsyncIterator[None]:
        """Count from 0, and listen where a port is set."""
        settings, catalog = self.settings, Catalog()
        self._hearing = Hearing(catalog, models_max=settings.models_max)
        self.reading = Reading(catalog, gauges=self.gauges, log=self.log)
        async with AsyncExitStack() as opened:
            if settings.port is not None:
                self.url = await opened.enter_async_context(self._listener(settings.port))
                self.log.info("metrics_served", url=self.url)
            lag = asyncio.create_task(watch_lag(catalog.lag_seconds, pause_s=settings.lag_pause_s))
            try:
                yield
            finally:
                self.url = None
                lag.cancel()
                await asyncio.gather(lag, return_exceptions=True)

    @asynccontextmanager
    async def _listener(self, port: int) -> AsyncIterator[str]:
        # Imported where there is one: the library of the server is no part of a plugin's import.
        from famulus_metrics.listener import open_listener

        async with open_listener(
            self.reading.text,
            self.settings,
            port=port,
            log=self.log,
            make_id=self.new_id,
        ) as url:
            yield url

    @hookimpl
    async def on_requests(self, served: Sequence[RequestServed]) -> None:
        """Count them."""
        self._hearing.hear_requests(served)

    @hookimpl
    async def on_event(self, event: Counted) -> None:
        """Count it."""
        self._hearing.hear(event)

    @hookimpl
    def register_gauges(self) -> list[Gauge]:
        """Which version runs."""
        return own_gauges()

    @hookimpl
    def register_operations(self) -> list[Operation]:
        """`/metrics`, unless it has only a port of its own."""
        return operations(self) if self.settings.with_key else []

    @operation("GET", "/metrics", action="metrics.read", documented_answer={"text/plain": str})
    async def read_metrics(self, call: Call) -> Bytes:
        """Read this process's metrics, as Prometheus's text or as OpenMetrics."""
        body, content_type = await self.reading.text(call.headers.get("accept", ""))
        return Bytes(body, content_type)
