"""`/metrics` on a port of its own, and nothing else there."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager

import uvicorn
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import Receive, Scope, Send

from famulus import Problem
from famulus.clock import MakeId
from famulus.connections import Limits, guarded
from famulus.hosts import Hosts, hosts_of
from famulus.listening import is_loopback, listening
from famulus.log import Log
from famulus.open_connections import OpenConnections
from famulus.safe_headers import ALWAYS, NO_PAGE, NOT_KEPT
from famulus_metrics.settings import MetricsSettings

Text = Callable[[str], Awaitable[tuple[bytes, str]]]

STOP_S = 2
"""Seconds that a reading under way may take once the server stops."""

HEADER_BYTES_MAX = 16_384
LINGER_S = 1.0
"""Nobody has a body to send here."""

_HEADERS = {
    name.decode(): value.decode()
    # One reading a connection: whoever keeps one open takes a place of few.
    for name, value in (*ALWAYS, NOT_KEPT, NO_PAGE, (b"connection", b"close"))
}


class MetricsPage:
    """An ASGI app of one page."""

    def __init__(self, text: Text, hosts: Hosts | None) -> None:
        self._text = text
        self._hosts = hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            response = await self._answer(Request(scope))
            response.headers.update(_HEADERS)
            await response(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        try:
            if self._hosts is not None:
                self._hosts.hold(request.scope["headers"])
        except Problem as problem:
            return PlainTextResponse(f"{problem.body.message}\n", problem.status)
        if request.url.path != "/metrics":
            return PlainTextResponse("Only /metrics is served here.\n", 404)
        if request.method not in ("GET", "HEAD"):
            return PlainTextResponse("/metrics is read.\n", 405, {"allow": "GET, HEAD"})
        body, content_type = await self._text(request.headers.get("accept", ""))
        return Response(body, headers={"content-type": content_type})


class _Listener(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        # They are the server's; this one ends with its plugin.
        yield


@asynccontextmanager
async def open_listener(
    text: Text, settings: MetricsSettings, *, port: int, log: Log, make_id: MakeId
) -> AsyncIterator[str]:
    """Serve metrics until left; gives the URL. Raises BootError where it cannot listen there."""
    host = settings.host
    hosts = hosts_of(
        settings.hosts, host=host, on_loopback=is_loopback(host), table="plugins.metrics"
    )
    most = settings.connections_max
    counted = OpenConnections((), connections_max=most, per_address_max=most)
    limits = Limits(
        header_s=settings.header_s,
        header_bytes_max=HEADER_BYTES_MAX,
        send_s=settings.send_s,
        linger_s=LINGER_S,
    )
    sockets = listening(host, port, backlog=most)
    taken = sockets[0].getsockname()[1]
    config = uvicorn.Config(
        MetricsPage(text, hosts),
        http=guarded(limits, counted, log=log, make_id=make_id),
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=STOP_S,
    )
    server = _Listener(config)
    serving = asyncio.create_task(server.serve(sockets))
    try:
        yield f"http://{f'[{host}]' if ':' in host else host}:{taken}/metrics"
    finally:
        server.should_exit = True
        await serving
        for each in sockets:
            each.close()
