"""One client's request on one server: its fields as that server wants them, its answer as ours."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager

import msgspec
from msgspec import Raw

from famulus import tracing
from famulus_models.catalog import Served
from famulus_models.metering import Meter
from famulus_models.rename import Renamer
from famulus_models.typed import TypedRelays
from famulus_models.usage import with_null_usage, with_usage, without_usage
from famulus_schemas.inference import BackendFault, Relay, RelayRequest, TokenUsage


class RoutedRelay:
    """An answer on its way from the server that was chosen; its own iterator of the body."""

    def __init__(
        self, request: RelayRequest, served: Served, typed: TypedRelays, meter: Meter
    ) -> None:
        self.served_by = served.card.id
        self.status = 200
        self.content_type = ""
        self._request = request
        self._served = served
        self._typed = typed
        self._meter = meter
        self._rename = Renamer(request.model)
        self._hides_usage = False
        self._shows_usage = False
        self._context: AbstractAsyncContextManager[Relay] | None = None
        self._items: AsyncIterator[bytes] | None = None
        self._first: asyncio.Task[bytes | None] | None = None

    @property
    def usage(self) -> TokenUsage | None:
        """What the answer used, as far as its server has told it."""
        return self._meter.usage

    async def open(self, first_event_s: float) -> None:
        """Have the request accepted. A stream is held for its first event, but not for longer.

        Until then another server can still be asked. Raises BackendFault.
        """
        try:
            with tracing.within(self._meter.span):
                await self._enter()
            if self._request.stream:
                await self._hold(first_event_s)
        except BaseException:
            await self.close()
            raise

    def chunks(self) -> AsyncIterator[bytes]:
        """The body, under the client's name for the model. Raises BackendFault."""
        return self

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        assert self._items is not None
        while True:
            if self._first is None:
                item = await anext(self._items)
            else:
                first, self._first = self._first, None
                held = await first
                if held is None:
                    raise StopAsyncIteration
                item = held
            self._meter.see(item)
            item = self._rename(item)
            if self._hides_usage:
                item = without_usage(item)
            elif self._shows_usage:
                item = with_null_usage(item)
            if item:
                return item

    async def close(self) -> None:
        """Leave; an answer that is not at its end is aborted."""
        if self._first is not None:
            self._first.cancel()
            await asyncio.gather(self._first, return_exceptions=True)
        close = getattr(self._items, "aclose", None)
        if close is not None:
            await close()
        self._meter.end()
        if self._context is not None:
            context, self._context = self._context, None
            await context.__aexit__(None, None, None)

    async def _hold(self, first_event_s: float) -> None:
        assert self._items is not None
        self._first = asyncio.ensure_future(anext(self._items, None))
        await asyncio.wait([self._first], timeout=first_event_s)
        if self._first.done():
            # A fault is raised here, while another server can still be asked.
            self._first.result()
            self._meter.begin()

    async def _enter(self) -> None:
        try:
            relay = await self._accepted(self._fields())
        except BackendFault as fault:
            if not _refuses_usage(fault) or not self._hides_usage:
                raise
            # A server that does not know the option can do without: the client never asked.
            self._hides_usage = False
            relay = await self._accepted(dict(self._request.fields))
        self.status, self.content_type = relay.status, relay.content_type
        self.served_by = relay.served_by
        self._items = relay.chunks()

    async def _accepted(self, fields: dict[str, Raw]) -> Relay:
        served = self._served
        fields["model"] = Raw(msgspec.json.encode(served.card.id))
        request = msgspec.structs.replace(self._request, model=served.card.id, fields=fields)
        if served.relays is not None:
            context = served.relays.relay(request)
        else:
            context = self._typed.relay(request, served.backend)
        relay = await context.__aenter__()
        self._context = context
        return relay

    def _fields(self) -> dict[str, Raw]:
        if not self._request.stream:
            return dict(self._request.fields)
        fields, asked = with_usage(self._request.fields)
        self._hides_usage, self._shows_usage = not asked, asked
        return fields


def _refuses_usage(fault: BackendFault) -> bool:
    return fault.kind == "refused" and "stream_options" in f"{fault.param} {fault.message}"
