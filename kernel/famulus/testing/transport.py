"""An httpx transport to an ASGI app in this process, which streams as a socket would."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
from starlette.types import ASGIApp, Message

QUEUE_MAX = 1024


class InProcess(httpx.AsyncBaseTransport):
    """Runs each request as a task of its own; closing the response is the client leaving."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        body = await _whole(request)
        exchange = _Exchange(body)
        task = asyncio.create_task(exchange.run(self._app, _scope(request)))
        try:
            start = await exchange.started(task)
        except BaseException:
            task.cancel()
            raise
        return httpx.Response(
            start["status"], headers=start["headers"], stream=_Stream(exchange, task)
        )


async def _whole(request: httpx.Request) -> bytes:
    assert isinstance(request.stream, httpx.AsyncByteStream)
    return b"".join([chunk async for chunk in request.stream])


def _scope(request: httpx.Request) -> dict[str, Any]:
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": request.method,
        "headers": [(name.lower(), value) for name, value in request.headers.raw],
        "scheme": request.url.scheme,
        "path": request.url.path,
        "raw_path": request.url.raw_path.split(b"?")[0],
        "query_string": request.url.query,
        "server": (request.url.host, request.url.port or 80),
        "client": ("127.0.0.1", 50_000),
        "root_path": "",
    }


class _Exchange:
    def __init__(self, body: bytes) -> None:
        self._body = body
        self._asked = False
        self._left = asyncio.Event()
        self.messages: asyncio.Queue[Message | None] = asyncio.Queue(QUEUE_MAX)

    async def run(self, app: ASGIApp, scope: dict[str, Any]) -> None:
        try:
            await app(scope, self._receive, self._send)
        finally:
            await self.messages.put(None)

    async def _receive(self) -> Message:
        if not self._asked:
            self._asked = True
            return {"type": "http.request", "body": self._body, "more_body": False}
        await self._left.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        # As uvicorn: once the client has left, what is sent goes nowhere.
        if not self._left.is_set():
            await self.messages.put(message)

    async def started(self, task: asyncio.Task[None]) -> Message:
        message = await self.messages.get()
        if message is None:
            await task
            raise AssertionError("the app ended without an answer")
        return message

    def leave(self) -> None:
        self._left.set()
        while not self.messages.empty():
            self.messages.get_nowait()


class _Stream(httpx.AsyncByteStream):
    def __init__(self, exchange: _Exchange, task: asyncio.Task[None]) -> None:
        self._exchange = exchange
        self._task = task

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while True:
            message = await self._exchange.messages.get()
            if message is None:
                await self._task
                return
            if message.get("body"):
                yield message["body"]
            if not message.get("more_body"):
                await self._task
                return

    async def aclose(self) -> None:
        self._exchange.leave()
        await asyncio.wait([self._task])
