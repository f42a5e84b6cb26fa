"""A host on this machine that answers with whatever bytes a test puts under a path."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

ADDRESS = "127.0.0.2"
"""Opened to the client in tests; 127.0.0.1 is not."""

Says = bytes | Callable[[asyncio.StreamWriter], object]


def ok(content: bytes, media_type: str = "image/png", *, more: str = "") -> bytes:
    """A whole answer."""
    head = f"HTTP/1.1 200 OK\r\ncontent-type: {media_type}\r\n{more}"
    return f"{head}content-length: {len(content)}\r\n\r\n".encode() + content


def moved(location: str, status: int = 302) -> bytes:
    """A redirect."""
    return (
        f"HTTP/1.1 {status} Moved\r\nset-cookie: a=b\r\nlocation: {location}\r\n"
        "content-length: 0\r\n\r\n"
    ).encode()


class StrangeHost:
    """What it says, and what it heard."""

    def __init__(self) -> None:
        self.port = 0
        self.says: dict[str, Says] = {}
        self.heard: list[str] = []
        """The heads of requests, as they came."""
        self.open = 0
        self._serving: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        """Of its root, without a slash at the end."""
        return f"http://{ADDRESS}:{self.port}"

    @property
    def paths(self) -> list[str]:
        """What was asked for."""
        return [head.split(" ")[1] for head in self.heard]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        me = asyncio.current_task()
        assert me is not None
        self._serving.add(me)
        self.open += 1
        # Cancelled at the end of a test, whatever it was at.
        with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            self.heard.append(head)
            path = head.split(" ")[1].partition("?")[0]
            says = self.says.get(path, b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n")
            if callable(says):
                await says(writer)  # type: ignore[misc]
            else:
                writer.write(says)
            await writer.drain()
        self.open -= 1
        writer.close()
        self._serving.discard(me)

    @asynccontextmanager
    async def standing(self, tls: ssl.SSLContext | None = None) -> AsyncIterator[StrangeHost]:
        """Serve until the context is left."""
        server = await asyncio.start_server(self._serve, ADDRESS, 0, ssl=tls)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            serving = list(self._serving)
            for each in serving:
                each.cancel()
            await asyncio.gather(*serving)
