"""What comes after a body's head and is no body: nothing of it counts, and only so much is read."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from famulus import Call, NoSettings, Operation, Plugin, hookimpl, operation, operations
from famulus.testing import live_server, make_kernel

pytestmark = pytest.mark.anyio

KEY = "sk-of-the-one-who-may-come-in"
HEAD = "POST /told HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
CHUNKED = "transfer-encoding: chunked\r\n\r\n"
WHOLE = "2\r\n{}\r\n0\r\n"
LONG = {"header_bytes_max": 2000, "body_s": 300.0, "linger_s": 300.0}
SENT_BYTES_MAX = 20_000_000
"""Far more than the system itself takes in for the server."""
KNOWN = f"authorization: Bearer {KEY}\r\n"


class Body(msgspec.Struct):
    """Nothing."""


class Told(msgspec.Struct):
    """What is known of a request."""

    client: str
    strange: str


class Tells(Plugin[NoSettings]):
    """Says who asks, and what a header says."""

    name = "tells"

    @hookimpl
    def register_operations(self) -> list[Operation]:
        return operations(self)

    @operation("POST", "/told", action="told.write")
    async def told(self, call: Call, body: Body) -> Told:
        """All of it."""
        return Told(call.client, call.headers.get("x-strange", ""))


@asynccontextmanager
async def serving(tmp_path: Path, **settings: Any) -> AsyncIterator[int]:
    """The port of a server that lets in whoever has the key."""
    given = {"server": settings, "keys": {"api_key": KEY}}
    plugins = (Tells, "keys", "sqlite")
    async with live_server(make_kernel(*plugins, data_dir=tmp_path, settings=given)) as url:
        yield int(url.rpartition(":")[2])


async def answer(port: int, *sent: str) -> bytes:
    """All that is answered to what is sent, piece by piece, to the end of the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        for piece in sent:
            writer.write(piece.encode())
            await writer.drain()
        async with asyncio.timeout(30):
            return await reader.read()
    finally:
        writer.transport.abort()


async def sent_until_closed(port: int, begin: str, again: str) -> int:
    """How many bytes of it were sent until the server closed, though it would take more time."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    reading = asyncio.create_task(reader.read())
    sent = 0
    try:
        writer.write(begin.encode())
        async with asyncio.timeout(60):
            while not reading.done():
                writer.write(again.encode())
                sent += len(again)
                await writer.drain()
                # Packets of their own, so that not all of it comes at once.
                await asyncio.sleep(0.001)
    except ConnectionError:
        pass
    finally:
        writer.transport.abort()
        await asyncio.gather(reading, return_exceptions=True)
    return sent


def status(told: bytes) -> bytes:
    return told.split(b" ", 2)[1]


async def test_a_key_after_the_body_lets_nobody_in(tmp_path: Path) -> None:
    async with serving(tmp_path) as port:
        told = await answer(port, HEAD + CHUNKED + WHOLE + KNOWN + "\r\n")
    assert status(told) == b"401"


async def test_no_header_after_the_body_is_one_of_the_request(tmp_path: Path) -> None:
    strange = "x-strange: yes\r\nx-forwarded-for: 203.0.113.9\r\nconnection: keep-alive\r\n\r\n"
    head = HEAD + KNOWN + "connection: close\r\n" + CHUNKED
    async with serving(tmp_path, trusted_proxies=["127.0.0.1"]) as port:
        at_once = await answer(port, head + WHOLE + strange)
        apart = await answer(port, head, WHOLE, strange)
    assert at_once.endswith(b'{"client":"127.0.0.1","strange":""}')
    assert apart.endswith(b'{"client":"127.0.0.1","strange":""}')


@pytest.mark.parametrize(
    "again", ["x: y\r\n", "x"], ids=["headers without end", "one header without end"]
)
@pytest.mark.parametrize("known", [KNOWN, ""], ids=["somebody known", "a stranger"])
async def test_what_follows_a_body_without_end_is_closed(
    again: str, known: str, tmp_path: Path
) -> None:
    async with serving(tmp_path, **LONG) as port:
        begin = HEAD + known + CHUNKED + WHOLE
        assert await sent_until_closed(port, begin, again * 500) < SENT_BYTES_MAX


@pytest.mark.parametrize("mark", ["0", "2;", "2;x="])
async def test_a_mark_of_a_chunk_without_end_is_closed(mark: str, tmp_path: Path) -> None:
    async with serving(tmp_path, **LONG) as port:
        begin = HEAD + KNOWN + CHUNKED + mark
        assert await sent_until_closed(port, begin, "0" * 500) < SENT_BYTES_MAX


async def test_a_large_body_is_no_such_mark(tmp_path: Path) -> None:
    head = HEAD + KNOWN + "connection: close\r\n" + CHUNKED
    chunk = f"{5000:x}\r\n" + " " * 5000 + "\r\n"
    async with serving(tmp_path, header_bytes_max=2000) as port:
        told = await answer(port, head, *[chunk] * 50, WHOLE, "\r\n")
    assert status(told) == b"200"
