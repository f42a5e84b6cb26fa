"""What Famulus is held against: bare ASGI apps that do the one thing and nothing around it.

`whole` answers a GET with bytes of a stored message's size, and a POST with the same after a typed
decode of its body. `relay` sends a chat request on to the model server at `UPSTREAM_PORT` over a
pool of raw connections and passes the answer's bytes on: no TLS, no timeouts, no errors, so it is
a floor and no product. `client_relay` does the same with aiohttp, which is the least that a relay
with a real client costs.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, cast

import aiohttp
import httptools
import msgspec

from famulus_schemas.messages import CreateMessage

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

JSON = [(b"content-type", b"application/json")]
STORED = os.environ.get("STORED_BODY", "{}").encode()
_decode = msgspec.json.Decoder(CreateMessage).decode


async def whole(scope: Scope, receive: Receive, send: Send) -> None:
    """GET and POST, by their method alone."""
    if scope["type"] == "lifespan":
        await _lifespan(receive, send)
        return
    if scope["method"] == "POST":
        _decode(await _body(receive))
    await _answer(send, STORED)


async def _body(receive: Receive) -> bytes:
    message = await receive()
    body: bytes = message.get("body", b"")
    while message.get("more_body"):
        message = await receive()
        body += message.get("body", b"")
    return body


async def _answer(send: Send, body: bytes) -> None:
    headers = [*JSON, (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _lifespan(receive: Receive, send: Send) -> None:
    await receive()
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await send({"type": "lifespan.shutdown.complete"})


# --- the relay --------------------------------------------------------------------------------


class Upstream(asyncio.Protocol):
    """A raw connection to the model server; one answer at a time."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._waiter: asyncio.Future[None] | None = None
        self._is_whole = True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self._loop = asyncio.get_running_loop()

    def connection_lost(self, exc: Exception | None) -> None:
        self._is_whole = True
        self._wake()

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)
        self._wake()

    def on_body(self, body: bytes) -> None:
        """httptools: a piece of the answer."""
        self._pieces.append(body)

    def on_message_complete(self) -> None:
        """httptools: the answer is whole."""
        self._is_whole = True

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def ask(self, body: bytes) -> None:
        """Send a request."""
        self._parser = httptools.HttpResponseParser(self)
        self._is_whole = False
        head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: stub\r\ncontent-length: %d\r\n\r\n"
        self.transport.write(head % len(body) + body)

    async def read(self) -> bytes:
        """What has come; nothing at the end."""
        while not self._pieces and not self._is_whole:
            self._waiter = self._loop.create_future()
            await self._waiter
        pieces, self._pieces = self._pieces, []
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)


_idle: list[Upstream] = []


async def relay(scope: Scope, receive: Receive, send: Send) -> None:
    """A chat request, passed on; streamed where the answer is."""
    if scope["type"] == "lifespan":
        await _lifespan(receive, send)
        return
    body = await _body(receive)
    while _idle and _idle[-1].transport.is_closing():
        _idle.pop()
    if _idle:
        upstream = _idle.pop()
    else:
        port = int(os.environ["UPSTREAM_PORT"])
        loop = asyncio.get_running_loop()
        _, upstream = await loop.create_connection(Upstream, "127.0.0.1", port)
    upstream.ask(body)
    if b'"stream":true' in body:
        await _stream(upstream, receive, send)
        return
    pieces = []
    while piece := await upstream.read():
        pieces.append(piece)
    _idle.append(upstream)
    await _answer(send, b"".join(pieces))


async def _stream(upstream: Upstream, receive: Receive, send: Send) -> None:
    headers = [(b"content-type", b"text/event-stream"), (b"cache-control", b"no-cache")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    passing = asyncio.ensure_future(_pass(upstream, send))
    # uvicorn's send() does nothing once the client has left, so only this can tell.
    leaving = asyncio.ensure_future(receive())
    await asyncio.wait((passing, leaving), return_when=asyncio.FIRST_COMPLETED)
    leaving.cancel()
    if passing.done():
        _idle.append(upstream)
    else:
        passing.cancel()
        upstream.transport.close()


async def _pass(upstream: Upstream, send: Send) -> None:
    while piece := await upstream.read():
        await send({"type": "http.response.body", "body": piece, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


# --- the relay with a real client ---------------------------------------------------------------

_sessions: list[aiohttp.ClientSession] = []


async def client_relay(scope: Scope, receive: Receive, send: Send) -> None:
    """As `relay`, by aiohttp; whole answers only."""
    if scope["type"] == "lifespan":
        await _lifespan(receive, send)
        return
    body = await _body(receive)
    if not _sessions:
        connector = aiohttp.TCPConnector(limit=0)
        _sessions.append(aiohttp.ClientSession(connector=connector))
    url = f"http://127.0.0.1:{os.environ['UPSTREAM_PORT']}/v1/chat/completions"
    async with _sessions[0].post(url, data=body, headers={"content-type": "application/json"}) as r:
        answer = await r.read()
    await _answer(send, answer)
