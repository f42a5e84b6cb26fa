"""Connections count from when they are accepted, though they are not encrypted yet."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.kernel.certificates import write_certificate

from famulus.testing import live_server, make_kernel

pytestmark = pytest.mark.anyio

OTHER = ("127.0.0.2", 0)
"""Another client's address."""

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@pytest.fixture(params=[False, True], ids=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, Mapping[str, Any]]:
    """Both loops: a server has the second, and most of its tests the first."""
    return "asyncio", {"use_uvloop": request.param}


class Reached:
    """A server, as its clients reach it."""

    def __init__(self, url: str, trusted: ssl.SSLContext) -> None:
        self._port = int(url.rpartition(":")[2])
        self._trusted = trusted

    async def silent(self) -> Streams:
        """A connection that never begins to be encrypted."""
        return await asyncio.open_connection("127.0.0.1", self._port)

    async def asked(self, *, address: tuple[str, int] | None = None) -> tuple[bytes, Streams]:
        """The status of a request on an encrypted connection, which stays open."""
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", self._port, ssl=self._trusted, local_addr=address
        )
        writer.write(b"GET /health/live HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n")
        head = await reader.readuntil(b"\r\n")
        return head.split(b" ")[1], (reader, writer)

    async def is_refused(self) -> bool:
        """Whether an encrypted connection is not let in."""
        try:
            _, (_, writer) = await self.asked()
        except (OSError, asyncio.IncompleteReadError):
            return True
        writer.close()
        return False


@asynccontextmanager
async def serving(tmp_path: Path, **settings: Any) -> AsyncIterator[Reached]:
    """A server that speaks TLS and has these limits."""
    cert, key = write_certificate(tmp_path)
    given = {"tls_cert": str(cert), "tls_key": str(key), "tls_handshake_s": 60.0, **settings}
    kernel = make_kernel(data_dir=tmp_path / "data", settings={"server": given})
    async with live_server(kernel) as url:
        yield Reached(url, ssl.create_default_context(cafile=str(cert)))


async def is_closed(reader: asyncio.StreamReader) -> bool:
    """Waits until it is."""
    try:
        return await reader.read() == b""
    except ConnectionError:
        return True


def end(*streams: Streams) -> None:
    for _, writer in streams:
        writer.transport.abort()


async def test_whoever_does_not_begin_to_encrypt_counts_for_his_address(tmp_path: Path) -> None:
    async with serving(tmp_path, connections_per_address_max=3) as server:
        first = [await server.silent() for _ in range(3)]
        further = [await server.silent() for _ in range(20)]
        # They are closed although a handshake may take a minute.
        assert [await is_closed(reader) for reader, _ in further] == [True] * 20
        assert not [reader for reader, _ in first if reader.at_eof()]
        assert await server.is_refused()
        status, other = await server.asked(address=OTHER)
        assert status == b"200"
        end(*first, *further, other)


async def test_whoever_does_not_begin_to_encrypt_counts_among_all(tmp_path: Path) -> None:
    async with serving(tmp_path, connections_max=2) as server:
        first = [await server.silent() for _ in range(2)]
        assert await server.is_refused()
        end(first[0])
        # There is one place again.
        while await server.is_refused():
            await asyncio.sleep(0.01)
        end(*first)


async def test_an_encrypted_connection_counts_once_and_until_it_ends(tmp_path: Path) -> None:
    async with serving(tmp_path, connections_per_address_max=2) as server:
        let_in = [await server.asked() for _ in range(2)]
        assert [status for status, _ in let_in] == [b"200", b"200"]
        assert await server.is_refused()
        end(let_in[0][1])
        while await server.is_refused():
            await asyncio.sleep(0.01)
        end(let_in[1][1])


async def test_handshakes_that_fail_leave_their_places(tmp_path: Path) -> None:
    async with serving(tmp_path, connections_max=1) as server:
        for _ in range(5):
            reader, writer = await server.silent()
            writer.write(b"GET / HTTP/1.1\r\n\r\n" * 10)
            await is_closed(reader)
            end((reader, writer))
        while await server.is_refused():
            await asyncio.sleep(0.01)


async def test_handshakes_that_take_too_long_leave_their_places(tmp_path: Path) -> None:
    async with serving(tmp_path, connections_max=1, tls_handshake_s=0.2) as server:
        reader, writer = await server.silent()
        # The beginning of a greeting, of which the rest never comes.
        writer.write(b"\x16\x03\x01\x02\x00\x01")
        assert await is_closed(reader)
        while await server.is_refused():
            await asyncio.sleep(0.01)
        end((reader, writer))


async def test_a_server_ends_while_some_are_not_encrypted(tmp_path: Path) -> None:
    async with serving(tmp_path) as server:
        streams = await server.silent()
        reader, writer = await server.silent()
        writer.write(b"\x16\x03\x01\x02\x00\x01")
    assert await is_closed(reader)
    end(streams, (reader, writer))
