"""uvicorn in front of the kernel, with the time and size limits on headers that it lacks."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
from collections.abc import Callable
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from famulus.config import ServerSettings
from famulus.errors import envelope
from famulus.kernel import Kernel
from famulus.log import ForwardToLog
from famulus_schemas.errors import HEADERS_TOO_LARGE, Fault, Problem

HEADERS_TOO_SLOW = Fault(
    408, "request_timeout", "The request's headers did not arrive within {limit} seconds."
)


class GuardedProtocol(HttpToolsProtocol):
    """uvicorn's protocol, but a connection whose headers are slow or too large is closed."""

    header_s = 10.0
    header_bytes_max = 65_536

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._header_bytes = 0
        self._header_timer: asyncio.TimerHandle | None = None
        self._await_headers()

    def connection_lost(self, exc: Exception | None) -> None:
        self._headers_done()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        waiting = self._header_timer is not None
        self._header_bytes += len(data)
        super().data_received(data)
        if waiting and self._header_timer is not None:
            self._hold_size()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        if self._header_timer is None:
            self._await_headers()

    def on_headers_complete(self) -> None:
        self._headers_done()
        super().on_headers_complete()

    def _await_headers(self) -> None:
        self._header_bytes = 0
        self._header_timer = self.loop.call_later(self.header_s, self._too_slow)

    def _headers_done(self) -> None:
        if self._header_timer is not None:
            self._header_timer.cancel()
            self._header_timer = None

    def _hold_size(self) -> None:
        if self._header_bytes > self.header_bytes_max:
            self._refuse(Problem(HEADERS_TOO_LARGE, limit=self.header_bytes_max))

    def _too_slow(self) -> None:
        self._refuse(Problem(HEADERS_TOO_SLOW, limit=f"{self.header_s:g}"))

    def _refuse(self, problem: Problem) -> None:
        self._headers_done()
        if self.transport.is_closing():
            return
        body = envelope(problem)
        head = (
            f"HTTP/1.1 {problem.status} Refused\r\ncontent-type: application/json\r\n"
            f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
        )
        self.transport.write(head.encode() + body)
        self.transport.close()


def _guarded(settings: ServerSettings) -> type[GuardedProtocol]:
    limits = {"header_s": settings.header_s, "header_bytes_max": settings.header_bytes_max}
    return type("ConfiguredProtocol", (GuardedProtocol,), limits)


class Server(uvicorn.Server):
    """uvicorn's server, which says when it is ready and reloads on SIGHUP."""

    def __init__(
        self,
        kernel: Kernel,
        *,
        on_ready: Callable[[str], None],
        on_hangup: Callable[[], Any] | None = None,
    ) -> None:
        settings = kernel.settings
        super().__init__(
            uvicorn.Config(
                kernel,
                host=settings.host,
                port=settings.port,
                http=_guarded(settings),
                loop="uvloop",
                ws="none",
                lifespan="on",
                log_config=None,
                access_log=False,
                server_header=False,
                backlog=settings.backlog,
                limit_concurrency=settings.connections_max,
                timeout_keep_alive=int(settings.idle_s),
                timeout_graceful_shutdown=int(settings.drain_s),
            )
        )
        _forward_logs(kernel)
        self._on_ready = on_ready
        self._on_hangup = on_hangup

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Bind, then tell where."""
        await super().startup(sockets=sockets)
        if self.should_exit:
            return
        if self._on_hangup is not None:
            asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, self._on_hangup)
        self._on_ready(self.url)

    @property
    def url(self) -> str:
        """The address that it really listens on."""
        for server in self.servers:
            for each in server.sockets:
                host, port = each.getsockname()[:2]
                shown = f"[{host}]" if ":" in host else host
                return f"http://{shown}:{port}"
        return f"http://{self.config.host}:{self.config.port}"


def _forward_logs(kernel: Kernel) -> None:
    for name in ("uvicorn.error", "asyncio"):
        logger = logging.getLogger(name)
        logger.handlers = [ForwardToLog(kernel.log)]
        logger.setLevel(logging.WARNING)
        logger.propagate = False
