"""A client's own request on a model server: the answer's bytes, undecoded but for its errors."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from famulus_http_models.frames import DONE, Splitter, payloads
from famulus_http_models.refusals import fault_of_error
from famulus_schemas.inference import BackendFault

if TYPE_CHECKING:
    from famulus_http_models.link import Exchange

DONE_EVENT = b"data: [DONE]\n\n"
SAMPLE_BYTES = 200
"""How far into a whole answer an error is looked for."""

# The classes here are their own iterators and contexts: as generators, each would cost a request
# as much as parsing it does.


class WholeAnswer:
    """An answer that is not streamed: one item, the body."""

    status = 200

    def __init__(self, body: bytes, content_type: str, *, served_by: str) -> None:
        self.content_type = content_type
        self.served_by = served_by
        self._body: bytes | None = body

    def chunks(self) -> AsyncIterator[bytes]:
        """The body, at once."""
        return self

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        if self._body is None:
            raise StopAsyncIteration
        body, self._body = self._body, None
        return body


class StreamedAnswer:
    """A stream of events, passed on as they come and never past an error."""

    status = 200
    content_type = "text/event-stream"

    def __init__(
        self, exchange: Exchange, *, served_by: str, backend: str, event_bytes_max: int
    ) -> None:
        self.served_by = served_by
        self._exchange = exchange
        self._backend = backend
        self._splitter = Splitter(event_bytes_max, backend=backend)
        self._is_finished = False
        self._is_done = False
        self._fault: BackendFault | None = None

    def chunks(self) -> AsyncIterator[bytes]:
        """Whole events, all that came together. Raises BackendFault, also where one is an error.

        The end is always `[DONE]`, and only where the answer is whole.
        """
        return self

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        while True:
            if self._fault is not None:
                raise self._fault
            if self._is_done:
                await self._exchange.settle()
                raise StopAsyncIteration
            piece = await self._exchange.read()
            passed = self._take(piece)
            if passed:
                return passed
            if not piece and self._fault is None and not self._is_done:
                return self._end()

    def _end(self) -> bytes:
        if not self._is_finished:
            raise self._broken("its answer ended without a finish_reason")
        self._is_done = True
        return DONE_EVENT

    def _take(self, piece: bytes) -> bytes:
        events = self._splitter.feed(piece) if piece else self._splitter.flush()
        # A quote inside a JSON text is always escaped, so these bytes are a key or a whole text.
        # Most answers never hold them, and cost no decoding.
        if b'"error"' in events:
            events = self._before_error(events)
        if b'"finish_reason":"' in events or b'"finish_reason": "' in events:
            self._is_finished = True
        if DONE in events and DONE in payloads(events):
            self._is_done = True
        return events

    def _before_error(self, events: bytes) -> bytes:
        before = []
        for event in events.split(b"\n\n"):
            for payload in payloads(event):
                self._fault = fault_of_error(payload, backend=self._backend)
            if self._fault:
                break
            if event:
                before.append(event + b"\n\n")
        return b"".join(before)

    def _broken(self, message: str) -> BackendFault:
        return BackendFault("broken", message, backend=self._backend)


def fault_of_whole(body: bytes, content_type: str, *, backend: str) -> BackendFault | None:
    """Why a whole answer of status 200 cannot be used; None where it can."""
    stripped = body.strip()
    if not content_type.startswith("application/json") or not stripped.startswith(b"{"):
        return unexpected_type(content_type, "application/json", backend=backend)
    if b'"error"' in stripped[:SAMPLE_BYTES]:
        fault = fault_of_error(body, backend=backend)
        if fault:
            return fault
    if not stripped.endswith(b"}"):
        return BackendFault("broken", "its answer breaks off", backend=backend)
    return None


def unexpected_type(found: str, expected: str, *, backend: str) -> BackendFault:
    """The fault of an answer in another form, as a proxy in between sends."""
    return BackendFault(
        "broken",
        f"expected {expected}, got {found.partition(';')[0] or 'no content type'}; is its URL "
        "that of an OpenAI-compatible API?",
        backend=backend,
    )
