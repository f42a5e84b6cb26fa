"""One client's request on one server: its fields as that server wants them, its answer as ours."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import msgspec
from msgspec import Raw

from famulus_models.catalog import Served
from famulus_models.rename import Renamer
from famulus_models.typed import TypedRelays
from famulus_models.usage import with_usage, without_usage
from famulus_schemas.inference import BackendFault, Relay, RelayRequest, RelaysRequests


class RoutedRelay:
    """An answer on its way from the server that was chosen."""

    def __init__(self, request: RelayRequest, served: Served, typed: TypedRelays) -> None:
        self.served_by = served.card.id
        self.status = 200
        self.content_type = ""
        self._request = request
        self._served = served
        self._typed = typed
        self._rename = Renamer(request.model)
        self._hides_usage = False
        self._open = AsyncExitStack()
        self._items: AsyncIterator[bytes] | None = None
        self._first: asyncio.Task[bytes | None] | None = None

    async def open(self, first_event_s: float) -> None:
        """Have the request accepted. A stream is held for its first event, but not for longer.

        Until then another server can still be asked. Raises BackendFault.
        """
        try:
            await self._enter()
            if self._request.stream:
                self._first = asyncio.create_task(self._next())
                await asyncio.wait([self._first], timeout=first_event_s)
                if self._first.done() and self._first.exception():
                    self._first.result()
        except BaseException:
            await self.close()
            raise

    async def chunks(self) -> AsyncIterator[bytes]:
        """The body, under the client's name for the model. Raises BackendFault."""
        if self._first is not None:
            item = await self._first
        else:
            item = await self._next()
        while item is not None:
            item = self._rename(item)
            if self._hides_usage:
                item = without_usage(item)
            if item:
                yield item
            item = await self._next()

    async def close(self) -> None:
        """Leave; an answer that is not at its end is aborted."""
        if self._first is not None:
            self._first.cancel()
            await asyncio.gather(self._first, return_exceptions=True)
        close = getattr(self._items, "aclose", None)
        if close is not None:
            await close()
        await self._open.aclose()

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
        fields["model"] = Raw(msgspec.json.encode(self._served.card.id))
        request = msgspec.structs.replace(self._request, model=self._served.card.id, fields=fields)
        backend = self._served.backend
        if isinstance(backend, RelaysRequests):
            return await self._open.enter_async_context(backend.relay(request))
        return await self._open.enter_async_context(self._typed.relay(request, backend))

    def _fields(self) -> dict[str, Raw]:
        if not self._request.stream:
            return dict(self._request.fields)
        fields, asked = with_usage(self._request.fields)
        self._hides_usage = not asked
        return fields

    async def _next(self) -> bytes | None:
        assert self._items is not None
        return await anext(self._items, None)


def _refuses_usage(fault: BackendFault) -> bool:
    return fault.kind == "refused" and "stream_options" in f"{fault.param} {fault.message}"
