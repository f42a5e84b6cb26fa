"""uvicorn in front of the kernel."""

from __future__ import annotations

import asyncio
import gc
import logging
import math
import signal
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import uvicorn

from famulus.connections import GuardedProtocol, Limits, guarded
from famulus.kernel import END_S, Kernel
from famulus.listening import listening
from famulus.log import ForwardToLog
from famulus.open_connections import OpenConnections
from famulus.open_files import allow_open_files
from famulus.proxies import Proxies
from famulus.tls import tls_of

if TYPE_CHECKING:
    from famulus.handshakes import EncryptedListener

FILES_KEPT = 512
"""Open files that are no connections of clients: databases, contents, model servers."""

GC_THRESHOLD = 10_000
"""Objects made before the collector looks again. At Python's 700 it took a sixth of the CPU of
relayed requests, for cycles that hardly ever come."""


def _settle_memory() -> None:
    """Take what was made at the start out of the garbage collector's sight.

    Not looked through before: of a hundred objects one is garbage, and to find it takes a
    twentieth of the CPU of a start.
    """
    gc.freeze()
    gc.set_threshold(GC_THRESHOLD, *gc.get_threshold()[1:])


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
        self._kernel = kernel
        self._tls = tls_of(settings)
        proxies = Proxies(settings)
        counted = OpenConnections(
            proxies,
            connections_max=self._connections_max(kernel),
            per_address_max=settings.connections_per_address_max,
        )
        self._protocol = guarded(
            Limits(
                header_s=settings.header_s,
                header_bytes_max=settings.header_bytes_max,
                send_s=settings.send_s,
                linger_s=settings.linger_s,
            ),
            counted,
            log=kernel.log,
            make_id=kernel.make_id,
        )
        super().__init__(
            uvicorn.Config(
                kernel,
                host=settings.host,
                port=settings.port,
                http=self._protocol,
                proxy_headers=bool(proxies),
                forwarded_allow_ips=proxies.texts,
                loop="uvloop",
                ws="none",
                lifespan="on",
                log_config=None,
                access_log=False,
                server_header=False,
                backlog=settings.backlog,
                timeout_keep_alive=int(settings.idle_s),
                # The kernel has them end by themselves before.
                timeout_graceful_shutdown=math.ceil(settings.drain_s + 2 * END_S),
            )
        )
        self.troubles: list[str] = []
        """What was wrong before it served; whoever runs it words that for the operator."""
        self._log = kernel.log
        _forward_logs(_Kept(self.troubles))
        self._on_ready = on_ready
        self._on_hangup = on_hangup

    async def _serve(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen first: a server that has no port must not have started or made anything."""
        config = self.config
        own = sockets or listening(config.host, config.port, backlog=config.backlog)
        try:
            await super()._serve(own)
        finally:
            for each in own:
                each.close()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start the plugins and serve, then tell where."""
        await self.lifespan.startup()
        _forward_logs(ForwardToLog(self._log))
        if self.lifespan.should_exit:
            # Whoever runs the server words the reason.
            self.should_exit = True
            return
        accepting = [await self._accepting(each) for each in sockets or ()]
        # uvicorn only closes them, and waits for that.
        self.servers = accepting  # type: ignore[assignment]
        self.started = True
        self._tell_if_open()
        if self._on_hangup is not None:
            asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, self._on_hangup)
        _settle_memory()
        self._on_ready(self.url)

    async def _accepting(self, listener: socket.socket) -> asyncio.Server | EncryptedListener:
        """As uvicorn's own start, but that a client has a time in which to be encrypted."""

        def protocol() -> GuardedProtocol:
            return self._protocol(
                config=self.config, server_state=self.server_state, app_state=self.lifespan.state
            )

        if self._tls is not None:
            # Only then: it is no part of a quick start.
            from famulus.handshakes import EncryptedListener

            limit_s = self._kernel.settings.tls_handshake_s
            return EncryptedListener(
                listener, protocol, tls=self._tls, limit_s=limit_s, log=self._log
            )
        loop = asyncio.get_running_loop()
        return await loop.create_server(protocol, sock=listener, backlog=self.config.backlog)

    @staticmethod
    def _connections_max(kernel: Kernel) -> int:
        """How many may be open: what is set, as far as the system lets us have files open."""
        wanted = kernel.settings.connections_max
        allowed = allow_open_files(wanted + FILES_KEPT)
        possible = max(allowed - FILES_KEPT, allowed // 2)
        if possible < wanted:
            kernel.log.warning(
                "connections_lowered",
                connections_max=possible,
                hint=f"this process may have {allowed} files open; `ulimit -n` or LimitNOFILE= "
                "raise it",
            )
        return min(wanted, possible)

    def _tell_if_open(self) -> None:
        settings = self._kernel.settings
        if self._kernel.is_public and self._tls is None and not settings.trusted_proxies:
            self._log.warning(
                "not_encrypted",
                host=settings.host,
                hint="keys and contents are sent in clear: give [server] tls_cert and tls_key, or "
                "list the proxy that encrypts in trusted_proxies",
            )

    def renew_tls(self) -> None:
        """Use certificate and key as the files are now. Raises ConfigError, and keeps the old."""
        if self._tls is not None:
            self._tls.renew()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Take no more connections, and drain while those that are open are waited for."""
        draining = asyncio.create_task(self._kernel.drain())
        await super().shutdown(sockets=sockets)
        await draining

    @property
    def url(self) -> str:
        """The address that it really listens on."""
        for server in self.servers:
            for each in server.sockets:
                host, port = each.getsockname()[:2]
                shown = f"[{host}]" if ":" in host else host
                return f"{self._scheme}://{shown}:{port}"
        return f"{self._scheme}://{self.config.host}:{self.config.port}"

    @property
    def _scheme(self) -> str:
        return "http" if self._tls is None else "https"


class _Kept(logging.Handler):
    """Keeps what is said instead of writing it."""

    def __init__(self, messages: list[str]) -> None:
        super().__init__()
        self._messages = messages

    def emit(self, record: logging.LogRecord) -> None:
        self._messages.append(record.getMessage())


def _forward_logs(handler: logging.Handler) -> None:
    for name in ("uvicorn.error", "asyncio"):
        logger = logging.getLogger(name)
        logger.handlers = [handler]
        logger.setLevel(logging.WARNING)
        logger.propagate = False
