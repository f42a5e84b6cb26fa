"""uvicorn's protocol with the limits on a connection that it lacks."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import Any

import msgspec
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from famulus.clock import MakeId
from famulus.dispatch import id_of_request
from famulus.errors import envelope
from famulus.heads import Cycle
from famulus.log import Log
from famulus.open_connections import OpenConnections, Place
from famulus.safe_headers import ALWAYS, NOT_KEPT, as_text
from famulus_schemas.errors import (
    HEADERS_TOO_LARGE,
    HEADERS_TOO_SLOW,
    NOT_HTTP,
    Problem,
)

OVER_S = 1.0
"""What a connection over a limit has for its headers, so that it is told why it is closed."""

VERSIONS = frozenset({"1.1", "1.0"})
"""Of HTTP. llhttp also knows 0.9 and 2.0, neither of which looks like that."""


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What a connection may take; each as the setting of its name says."""

    header_s: float
    header_bytes_max: int
    send_s: float
    linger_s: float


class Lingering:
    """A connection whose end waits for a request's body that nobody will read.

    Most clients look for the answer only once they have sent everything, and a connection that is
    closed before takes the answer along. So it is closed for writing first, and for reading
    once the body has come, the client has closed, or `linger_s` are over.
    """

    def __init__(self, transport: asyncio.Transport, protocol: GuardedProtocol) -> None:
        self._transport = transport
        self._protocol = protocol
        self._timer: asyncio.TimerHandle | None = None
        self.write = transport.write

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def is_closing(self) -> bool:
        """Whether nothing can be written any more."""
        return self._timer is not None or self._transport.is_closing()

    def close(self) -> None:
        """Close; at once if it was called before, or nothing is still to come."""
        waits = self._protocol.awaits_body and self._transport.can_write_eof()
        if self.is_closing() or not waits:
            self.end()
            return
        self._transport.write_eof()
        self._transport.resume_reading()
        loop = self._protocol.loop
        self._timer = loop.call_later(self._protocol.limits.linger_s, self.end)

    def end(self) -> None:
        """Wait for nothing more than that what was answered is taken, and `send_s` for that."""
        if self._transport.is_closing():
            return
        self.forget()
        self._transport.close()
        protocol = self._protocol
        # Closing waits for the reader, for ever where there is none. What is encrypted already
        # cannot be asked for.
        if protocol.scheme == "https" or self._transport.get_write_buffer_size():
            abort = self._transport.abort
            self._timer = protocol.loop.call_later(protocol.limits.send_s, abort)

    def forget(self) -> None:
        """There is nothing to end any more."""
        if self._timer is not None:
            self._timer.cancel()


class GuardedProtocol(HttpToolsProtocol):
    """uvicorn's protocol with limits: on headers, on connections, and on what nobody reads."""

    log: Log
    make_id: MakeId
    limits: Limits
    open_connections: OpenConnections
    _place: Place | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(Lingering(transport, self))  # type: ignore[arg-type]
        self._awaits_headers = True
        self._unparsed_bytes = 0
        self._piece_bytes = 0
        """Of what came last; the message that is read now may have begun in the middle of it."""
        self._header_bytes_max = 0
        """What its headers come to at most."""
        self._refused = False
        self._header_timer: asyncio.TimerHandle | None = None
        self._reader_timer: asyncio.TimerHandle | None = None
        self._over = self.take_place(self.client[0] if self.client else None).over
        self._time_headers()

    def connection_lost(self, exc: Exception | None) -> None:
        self.leave_place()
        self._headers_done()
        self.resume_writing()
        super().connection_lost(exc)
        self.transport.forget()  # type: ignore[attr-defined]

    # --- how many -----------------------------------------------------------------------------

    def take_place(self, client: str | None) -> Place:
        """Be counted, once, before or when it is made."""
        if self._place is None:
            self._place = self.open_connections.enter(client)
        return self._place

    def leave_place(self) -> None:
        """Be counted no longer."""
        if self._place is not None:
            self._place.leave()

    # --- headers ------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        if self._refused:
            return
        waited = self._awaits_headers
        self._piece_bytes = len(data)
        self._unparsed_bytes += len(data)
        self._header_bytes_max += len(data)
        super().data_received(data)
        if self._awaits_headers and self._header_timer is None:
            self._time_headers()
        # One header without an end is never parsed, so what came of it is counted too; and so is
        # what comes for a body and never becomes any, as the mark of a chunk without an end.
        if waited is self._awaits_headers:
            self._hold_header_bytes(self._unparsed_bytes)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._header_bytes_max = self._piece_bytes
        if not self._awaits_headers:
            # Nearly always all of them have come by now: a timer is made for those that have not.
            self._awaits_headers = True
            self._unparsed_bytes = 0

    def on_headers_complete(self) -> None:
        self._headers_done()
        if self._header_bytes_max > self.limits.header_bytes_max:
            lines = sum(len(name) + len(value) + len(": \r\n") for name, value in self.headers)
            self._hold_header_bytes(len(self.url) + lines)
        if self._over is not None and not self._refused:
            self._refuse(self._over)
        if not self._refused and not self._is_framed_beyond_doubt():
            self._refuse(Problem(NOT_HTTP))
        if not self._refused:
            super().on_headers_complete()
            # It begins to answer in a task, which has not begun.
            self.cycle.__class__ = Cycle
            # What comes after the body is none of it. Who asks and from where has been said by
            # now, by a proxy too, which may pass on what stands there without a look at it.
            self.headers = []

    def _is_framed_beyond_doubt(self) -> bool:
        """Whether all on the way agree on where the body ends, beyond what llhttp holds to."""
        version = self.parser.get_http_version()
        codings = [value for name, value in self.headers if name == b"transfer-encoding"]
        if not codings:
            return version in VERSIONS
        # No other coding is undone here, and before 1.1 there was none.
        return version == "1.1" and len(codings) == 1 and codings[0].strip().lower() == b"chunked"

    def on_body(self, body: bytes) -> None:
        self._unparsed_bytes = 0
        if not self._refused:
            super().on_body(body)

    def on_message_complete(self) -> None:
        if not self._refused:
            super().on_message_complete()
        if self.transport.is_closing():
            self.transport.close()

    @property
    def awaits_body(self) -> bool:
        """Whether more is to come of a request that is answered already."""
        cycle = self.cycle
        return (
            not self._refused and cycle is not None and cycle.response_complete and cycle.more_body
        )

    def _unsupported_upgrade_warning(self) -> None:
        # Nothing is upgraded here, and what clients ask for is no matter for warnings.
        pass

    def send_400_response(self, msg: str) -> None:
        self._refuse(Problem(NOT_HTTP))

    def _time_headers(self) -> None:
        within_s = self.limits.header_s if self._over is None else min(OVER_S, self.limits.header_s)
        self._header_timer = self.loop.call_later(within_s, self._too_slow)

    def _headers_done(self) -> None:
        self._awaits_headers = False
        if self._header_timer is not None:
            self._header_timer.cancel()
            self._header_timer = None

    def _hold_header_bytes(self, size: int) -> None:
        if size > self.limits.header_bytes_max:
            if self.transport.is_closing():
                # It was answered, and only the rest of its body was waited for.
                self.transport.close()
            self._refuse(Problem(HEADERS_TOO_LARGE, limit=self.limits.header_bytes_max))

    def _too_slow(self) -> None:
        self._refuse(self._over or Problem(HEADERS_TOO_SLOW, limit=f"{self.limits.header_s:g}"))

    def _refuse(self, problem: Problem) -> None:
        self._headers_done()
        if self._refused or self.transport.is_closing():
            return
        self._refused = True
        request_id = id_of_request(self._given_id(), self.make_id)
        # In the middle of another answer on this connection, only closing it says anything.
        if self._may_answer():
            self.transport.write(_whole_answer(problem, request_id))
        self.transport.close()
        self.log.info(
            "request_refused",
            request_id=request_id,
            status=problem.status,
            reason=problem.body.message,
            client=self.client[0] if self.client else None,
        )

    def _may_answer(self) -> bool:
        """Whether what is refused now is what the client waits for; nobody else answers it then."""
        cycle = self.cycle
        if cycle is None or cycle.response_complete:
            return True
        if cycle.response_started or self.pipeline or not cycle.more_body:
            return False
        # Its head was in order, and what came after it is not.
        cycle.disconnected = True
        cycle.message_event.set()
        return True

    def _given_id(self) -> str | None:
        """The client's own id, where it came before the request was refused."""
        for name, value in self.scope["headers"] if self.scope else ():
            if name == b"x-request-id":
                return value.decode("latin-1")
        return None

    # --- readers ------------------------------------------------------------------------------

    def pause_writing(self) -> None:
        super().pause_writing()
        # Closing would wait for the reader; a connection that nobody reads is cut instead.
        self._reader_timer = self.loop.call_later(self.limits.send_s, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._reader_timer is not None:
            self._reader_timer.cancel()
            self._reader_timer = None


_SAFE = as_text((*ALWAYS, NOT_KEPT))


def _whole_answer(problem: Problem, request_id: str) -> bytes:
    body = envelope(problem)
    head = (
        f"HTTP/1.1 {problem.status} {HTTPStatus(problem.status).phrase}\r\n"
        "content-type: application/json\r\n"
        f"content-length: {len(body)}\r\nx-request-id: {request_id}\r\n"
        f"{_SAFE}connection: close\r\n\r\n"
    )
    return head.encode() + body


def guarded(
    limits: Limits, open_connections: OpenConnections, *, log: Log, make_id: MakeId
) -> type[GuardedProtocol]:
    """The protocol of one server, with its limits and its count of who is connected."""
    given = {
        "limits": limits,
        "open_connections": open_connections,
        "log": log,
        "make_id": staticmethod(make_id),
    }
    return type("ConfiguredProtocol", (GuardedProtocol,), given)
