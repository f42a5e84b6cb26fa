"""Connections that never become requests are closed, and nobody else waits for that."""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx
import pytest

from famulus.testing import live_server, make_kernel

pytestmark = pytest.mark.anyio

EACH = 40
KINDS = {
    "silent": b"",
    "half a line": b"GET /health/l",
    "half the headers": b"GET /health/live HTTP/1.1\r\nhost: x\r\nx-slow: ",
    "a body of somebody known": b"POST /v1/threads HTTP/1.1\r\nhost: x\r\n"
    b'content-type: application/json\r\ncontent-length: 100\r\n\r\n{"a',
}


Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def left_open(host: str, port: int, begins: bytes) -> Streams:
    """A connection that sends a beginning, and nothing after it."""
    reader, writer = await asyncio.open_connection(host, port)
    writer.write(begins)
    await writer.drain()
    return reader, writer


@pytest.mark.parametrize("kind", KINDS)
async def test_half_open_connections_are_all_closed_and_requests_come_between(
    kind: str, tmp_path: Path
) -> None:
    limits = {"header_s": 1.0, "body_s": 1.0, "linger_s": 0.1}
    plugins = ("sqlite", "threads", "events", "jobs")
    kernel = make_kernel(*plugins, data_dir=tmp_path, settings={"server": limits})
    async with live_server(kernel) as url, httpx.AsyncClient(base_url=url) as client:
        host, port = url.removeprefix("http://").split(":")
        opened = [await left_open(host, int(port), KINDS[kind]) for _ in range(EACH)]
        reads = [asyncio.create_task(reader.read()) for reader, _ in opened]
        assert (await client.get("/health/live")).status_code == 200
        # It was answered while they were open.
        assert not any(read.done() for read in reads)
        answers = await asyncio.gather(*reads)
        assert {answer.split(b" ")[1] for answer in answers} == {b"408"}
        assert (await client.get("/health/live")).status_code == 200
        for _, writer in opened:
            writer.close()
