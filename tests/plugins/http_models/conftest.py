"""A client of a scripted server, over a real socket."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, suppress
from typing import Any

import pytest

from famulus.testing.kit import FixedClock
from famulus.testing.scripted import ScriptedBackend
from famulus_http_models.backend import HttpBackend
from famulus_http_models.link import open_link
from famulus_http_models.settings import Limits, Server, Timeouts

Reach = Callable[..., AbstractAsyncContextManager[HttpBackend]]


@asynccontextmanager
async def _reached(
    server: ScriptedBackend | str,
    *,
    timeouts: Timeouts | None = None,
    limits: Limits | None = None,
    **settings: Any,
) -> AsyncIterator[HttpBackend]:
    async with AsyncExitStack() as stack:
        url = server if isinstance(server, str) else await stack.enter_async_context(server.serve())
        link = await stack.enter_async_context(open_link(limits or Limits()))
        yield await HttpBackend.load(
            Server(url=url, name="box", **settings),
            link,
            timeouts=timeouts or Timeouts(),
            clock=FixedClock(),
        )


class Answering:
    """A server that answers every POST with the same bytes."""

    def __init__(self, answer: bytes) -> None:
        self.answer = answer
        self.url = ""
        self.connections = 0
        self.requests = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            with suppress(asyncio.IncompleteReadError, ConnectionError):
                while await self._read(reader):
                    self.requests += 1
                    writer.write(self.answer)
                    await writer.drain()
        finally:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()

    async def _read(self, reader: asyncio.StreamReader) -> bytes:
        head = await reader.readuntil(b"\r\n\r\n")
        found = re.search(rb"content-length: (\d+)", head.lower())
        return head + await reader.readexactly(int(found[1]) if found else 0)


@asynccontextmanager
async def _answering(answer: bytes) -> AsyncIterator[Answering]:
    server = Answering(answer)
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    server.url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    try:
        yield server
    finally:
        listening.close()
        await asyncio.sleep(0)


@pytest.fixture
def answering() -> Callable[[bytes], AbstractAsyncContextManager[Answering]]:
    """`async with answering(bytes) as server`: a server that has only this to say."""
    return _answering


@pytest.fixture
def reach() -> Reach:
    """`async with reach(scripted) as backend`: the client of it, or of a URL."""
    return _reached
