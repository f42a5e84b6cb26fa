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

from famulus.listening import listening

Text = Callable[[str], Awaitable[tuple[bytes, str]]]

STOP_S = 2
"""Seconds that a reading under way may take once the server stops."""


class MetricsPage:
    """An ASGI app of one page."""

    def __init__(self, text: Text) -> None:
        self._text = text

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await (await self._answer(Request(scope)))(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
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
    text: Text, *, host: str, port: int, connections_max: int
) -> AsyncIterator[str]:
    """Serve metrics until left; gives the URL. Raises BootError where it cannot listen there."""
    sockets = listening(host, port, backlog=connections_max)
    taken = sockets[0].getsockname()[1]
    config = uvicorn.Config(
        MetricsPage(text),
        http="h11",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        limit_concurrency=connections_max,
        h11_max_incomplete_event_size=16_384,
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
