"""Whoever asks and does not read the answer is closed, however much of it is left."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.kernel.certificates import write_certificate

from famulus import Bytes, Call, NoSettings, Operation, Plugin, hookimpl, operation, operations
from famulus.listening import listening
from famulus.server import Server
from famulus.testing import make_kernel

pytestmark = pytest.mark.anyio

KERNEL_BYTES = 4096
"""What the system holds for each side, so that the rest is left to the server."""


class Text(Plugin[NoSettings]):
    """Answers with as many bytes as it is asked for."""

    name = "text"

    @hookimpl
    def register_operations(self) -> list[Operation]:
        return operations(self)

    @operation("GET", "/text/{count}", action="text.read")
    async def text(self, call: Call, count: str) -> Bytes:
        """So many bytes."""
        return Bytes(b"x" * int(count), "text/plain")


@pytest.fixture(params=[False, True], ids=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, Mapping[str, Any]]:
    """Both loops: a server has the second, and most of its tests the first."""
    return "asyncio", {"use_uvloop": request.param}


@asynccontextmanager
async def serving(tmp_path: Path, **settings: Any) -> AsyncIterator[tuple[Server, int]]:
    """A server for which the system holds hardly anything back, and its port."""
    kernel = make_kernel(Text, data_dir=tmp_path / "data", settings={"server": settings})
    [listener] = listening("127.0.0.1", 0, backlog=10)
    # Those that it accepts inherit this.
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, KERNEL_BYTES)
    ready: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    server = Server(kernel, on_ready=ready.set_result)
    port = listener.getsockname()[1]
    serving = asyncio.create_task(server._serve([listener]))
    await ready
    try:
        yield server, port
    finally:
        server.should_exit = True
        await serving


async def asked(port: int, path: str, more: str = "") -> socket.socket:
    """A connection that asks, and does not read."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, KERNEL_BYTES)
    client.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(client, ("127.0.0.1", port))
    request = f"GET {path} HTTP/1.1\r\nhost: 127.0.0.1\r\n{more}\r\n"
    await loop.sock_sendall(client, request.encode())
    return client


async def until(server: Server, connections: int) -> None:
    """Wait until so many are open."""
    async with asyncio.timeout(20):
        while len(server.server_state.connections) != connections:
            await asyncio.sleep(0.01)


# The first fit into what a transport holds before it says that nobody reads.
@pytest.mark.parametrize("count", [30_000, 60_000, 1_000_000])
@pytest.mark.parametrize("more", ["connection: close\r\n", ""], ids=["closing", "kept"])
async def test_whoever_reads_nothing_is_closed(count: int, more: str, tmp_path: Path) -> None:
    async with serving(tmp_path, send_s=0.3, idle_s=1.0) as (server, port):
        client = await asked(port, f"/text/{count}", more)
        await until(server, 1)
        await until(server, 0)
        client.close()


async def test_whoever_reads_late_but_in_time_gets_everything(tmp_path: Path) -> None:
    async with serving(tmp_path, send_s=60.0) as (server, port):
        client = await asked(port, "/text/50000", "connection: close\r\n")
        await until(server, 1)
        answer = b""
        while piece := await asyncio.get_running_loop().sock_recv(client, 4096):
            answer += piece
        assert answer.endswith(b"\r\n\r\n" + b"x" * 50_000)
        await until(server, 0)
        client.close()


async def test_a_server_stops_though_somebody_does_not_read(tmp_path: Path) -> None:
    async with serving(tmp_path, send_s=60.0, drain_s=0.1) as (server, port):
        client = await asked(port, "/text/60000")
        await until(server, 1)
    client.close()


async def test_over_tls_whoever_reads_nothing_is_closed_too(tmp_path: Path) -> None:
    cert, key = write_certificate(tmp_path)
    tls = {"tls_cert": str(cert), "tls_key": str(key)}
    async with serving(tmp_path, send_s=0.3, idle_s=1.0, **tls) as (server, port):
        client = Encrypted(port, str(cert))
        await asyncio.to_thread(client.ask, "/text/60000")
        await until(server, 1)
        await until(server, 0)
        client.close()


class Encrypted:
    """As `asked`, over TLS."""

    def __init__(self, port: int, cert: str) -> None:
        import ssl

        self._plain = socket.socket()
        self._plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, KERNEL_BYTES)
        self._port = port
        self._context = ssl.create_default_context(cafile=cert)
        self._socket: socket.socket | None = None

    def ask(self, path: str) -> None:
        """Connect and ask, on a thread."""
        self._plain.connect(("127.0.0.1", self._port))
        self._socket = self._context.wrap_socket(self._plain, server_hostname="127.0.0.1")
        self._socket.sendall(f"GET {path} HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n".encode())

    def close(self) -> None:
        """Leave."""
        if self._socket is not None:
            self._socket.close()
