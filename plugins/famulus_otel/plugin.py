"""The plugin: begins a trace with each request, and exports what notices tell of it."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from hashlib import blake2b
from importlib.metadata import version
from typing import TYPE_CHECKING

from msgspec.structs import replace

from famulus import CannotStart, Plugin, hookimpl, tracing
from famulus.operations import Identify
from famulus_otel.settings import OtelSettings
from famulus_schemas.gauges import Gauge
from famulus_schemas.health import Health
from famulus_schemas.identity import Principal
from famulus_schemas.notices import (
    BackendFailed,
    ModelAnswered,
    RequestServed,
    RunEnded,
    ToolCalled,
)
from famulus_schemas.spans import Span

if TYPE_CHECKING:
    from starlette.datastructures import Headers

    from famulus_otel.exporter import Exporter

_STOP_S = 3.0
"""How long a stop waits for the last spans."""


class LibraryMissing(CannotStart):
    """The package that has OTLP's messages is not installed."""


class Otel(Plugin[OtelSettings]):
    """Exports traces by OTLP."""

    name = "otel"
    _exporter: Exporter
    _lot: bytes

    @classmethod
    def off_because(cls, settings: OtelSettings) -> str | None:
        """Off until there is a collector."""
        return None if settings.endpoint else "no endpoint is set"

    @asynccontextmanager
    async def lifespan(self) -> AsyncIterator[None]:
        """Export, whether the collector is there or not."""
        _check_library()
        import httpx

        from famulus_otel.exporter import Exporter
        from famulus_otel.packing import packed

        settings = self.settings
        self._lot = secrets.token_bytes(16)
        number = version("famulus")
        resource = {
            "service.name": settings.service_name,
            "service.version": number,
            "service.instance.id": secrets.token_hex(8),
            **settings.attributes,
        }
        headers = {name: secret.reveal() for name, secret in settings.headers.items()}
        async with httpx.AsyncClient(
            headers=headers, timeout=settings.timeout_s, follow_redirects=False
        ) as client:
            pack = partial(packed, resource=resource, version=number)
            self._exporter = Exporter(client, settings, pack, log=self.log)
            work = asyncio.create_task(self._exporter.work())
            try:
                yield
            finally:
                work.cancel()
                await asyncio.gather(work, return_exceptions=True)
                with suppress(TimeoutError):
                    async with asyncio.timeout(_STOP_S):
                        await self._exporter.flush()

    @hookimpl(tryfirst=True)
    async def around_authenticate(
        self, headers: Headers, client: str, proceed: Identify
    ) -> Principal | None:
        """Begin the request's span: from here on all that it does is part of it."""
        tracing.span.set(self._begun(headers.get("traceparent")))
        return await proceed()

    def _begun(self, traceparent: str | None) -> Span:
        if traceparent is not None and self.settings.follow_clients:
            span = tracing.continued(traceparent)
            if span is not None and self.settings.sample_as_clients:
                return span
            if span is not None:
                return replace(span, is_sampled=self._is_told(self._drawn(span.trace_id)))
        trace_id = secrets.token_hex(16)
        return Span(
            trace_id=trace_id,
            id=secrets.token_hex(8),
            # By the trace alone, so that everybody who takes part decides alike.
            is_sampled=self._is_told(int(trace_id[16:], 16)),
            began_at=self.host.clock(),
        )

    def _drawn(self, trace_id: str) -> int:
        """A number for a trace whose id its client chose, and could have chosen to be told."""
        drawn = blake2b(trace_id.encode(), key=self._lot, digest_size=8)
        return int.from_bytes(drawn.digest(), "big")

    def _is_told(self, number: int) -> bool:
        return number < self.settings.sample_ratio * 2**64

    @hookimpl
    async def on_requests(self, served: Sequence[RequestServed]) -> None:
        """Have those exported that are traced."""
        for each in served:
            self._exporter.add(each)

    @hookimpl
    async def on_event(self, event: RunEnded | ModelAnswered | BackendFailed | ToolCalled) -> None:
        """Have exported what is over."""
        self._exporter.add(event)

    @hookimpl
    def register_gauges(self) -> list[Gauge]:
        """What became of spans."""
        return [
            Gauge(
                name="famulus_spans_waiting",
                help="Spans that wait to be sent to the collector.",
                read=lambda: float(self._exporter.waiting),
            ),
            Gauge(
                name="famulus_spans_total",
                help="Spans that the collector took, and those that were dropped.",
                labels=("result",),
                read=lambda: {
                    ("exported",): float(self._exporter.exported),
                    ("dropped",): float(self._exporter.dropped),
                },
            ),
        ]

    @hookimpl
    async def check_health(self) -> Health:
        """Whether the collector took the last spans."""
        failure = self._exporter.failure
        if failure is None:
            return Health()
        return Health(status="degraded", detail=f"the collector takes no spans: {failure}")


def _check_library() -> None:
    # The messages are an extra: what needs them is imported only once they are known to be there.
    try:
        import opentelemetry.proto.trace.v1.trace_pb2  # noqa: F401
    except ModuleNotFoundError as error:
        raise LibraryMissing(
            'opentelemetry-proto is not installed: pip install "famulus[otel]"'
        ) from error
