"""Opens hundreds of connections that never become requests, and prints when they are closed.

    python ops/hardening/half_open.py [CONNECTIONS]

Of each kind in turn: silent ones, headers that come byte by byte, bodies of strangers that do, and
bodies of somebody with a key that do; and over TLS, silent before and after the handshake. Others
send normal requests meanwhile. Ends with 1 where one is open later than it may be.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import uvloop
from served import HOST, Server, allow_files, quantile, server

HEADER_S = 10.0
"""`[server] header_s`, and the least of all waits."""
SLACK_S = 5.0
BODY_S = 10.0
"""`[server] body_s` for this, which is 60 by default: whoever has a key is trusted that far."""
DRIP_S = 0.5
NORMAL_PAUSE_S = 0.05
GIVE_UP_S = 60.0

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Kind(NamedTuple):
    """One way to keep a connection open."""

    name: str
    begins: bytes
    drips: bool
    tls: ssl.SSLContext | None = None
    limit_s: float = HEADER_S + SLACK_S


def kinds(key: str) -> list[Kind]:
    """All of them in clear."""
    post = b"POST /v1/threads HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
    known = b"authorization: Bearer " + key.encode() + b"\r\n"
    body = b'content-length: 1000\r\n\r\n{"metadata": {"a": "'
    return [
        Kind("silent", b"", drips=False),
        Kind("headers byte by byte", b"GET / HTTP/1.1\r\nx-slow: ", drips=True),
        Kind("a stranger's body byte by byte", post + body, drips=True),
        Kind("a body byte by byte, with a key", post + known + body, drips=True),
    ]


async def closed_after(kind: Kind, port: int) -> float:
    """Seconds until the server has closed one connection."""
    began = time.monotonic()
    server_name = "localhost" if kind.tls else None
    reader, writer = await asyncio.open_connection(
        HOST, port, ssl=kind.tls, server_hostname=server_name
    )
    dripping = asyncio.create_task(_drip(writer)) if kind.drips else None
    try:
        writer.write(kind.begins)
        async with asyncio.timeout(GIVE_UP_S):
            while await reader.read(4096):
                pass
    except ConnectionError:
        pass
    finally:
        if dripping is not None:
            dripping.cancel()
        writer.transport.abort()
    return time.monotonic() - began


async def _drip(writer: asyncio.StreamWriter) -> None:
    while not writer.is_closing():
        await asyncio.sleep(DRIP_S)
        writer.write(b"x")


async def waits_of_others(ask: Callable[[], Awaitable[None]]) -> list[float]:
    """Seconds of normal requests, until cancelled."""
    waits: list[float] = []
    try:
        while True:
            began = time.monotonic()
            await ask()
            waits.append(time.monotonic() - began)
            await asyncio.sleep(NORMAL_PAUSE_S)
    except asyncio.CancelledError:
        return waits


async def normal(port: int, key: str, tls: ssl.SSLContext | None) -> None:
    """One request on a connection of its own."""
    reader, writer = await asyncio.open_connection(
        HOST, port, ssl=tls, server_hostname="localhost" if tls else None
    )
    writer.write(
        f"GET /v1/assistants HTTP/1.1\r\nhost: {HOST}\r\nauthorization: Bearer {key}\r\n"
        "connection: close\r\n\r\n".encode()
    )
    answer = await reader.read()
    assert answer.startswith(b"HTTP/1.1 200"), answer[:200]
    writer.close()


async def tried(
    kind: Kind, famulus: Server, count: int, tls: ssl.SSLContext | None
) -> dict[str, Any]:
    """So many connections of one kind, and others beside them."""
    others = asyncio.create_task(waits_of_others(lambda: normal(famulus.port, famulus.key, tls)))
    ends = await asyncio.gather(*(closed_after(kind, famulus.port) for _ in range(count)))
    others.cancel()
    waits = await others
    return {
        "kind": kind.name,
        "connections": count,
        "closed_in_time": sum(end <= kind.limit_s for end in ends),
        "first_closed_s": round(min(ends), 1),
        "last_closed_s": round(max(ends), 1),
        "others_p50_ms": round(1e3 * quantile(waits, 0.5), 1),
        "others_p99_ms": round(1e3 * quantile(waits, 0.99), 1),
    }


def certificate(folder: str) -> tuple[str, str]:
    """Files of a certificate for this machine and of its key, by openssl."""
    cert, key = str(Path(folder, "cert.pem")), str(Path(folder, "key.pem"))
    command = "openssl req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=localhost"
    subprocess.run(
        [*command.split(), "-addext", "subjectAltName=DNS:localhost", "-keyout", key, "-out", cert],
        check=True,
        capture_output=True,
    )
    Path(key).chmod(0o600)
    return cert, key


def main() -> int:
    """Try each kind, print and judge."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 500
    allow_files(count + 1024)
    rows = []
    with server(settings={"FAMULUS_SERVER__BODY_S": str(BODY_S)}) as famulus:
        for kind in kinds(famulus.key):
            rows.append(uvloop.run(tried(kind, famulus, count, None)))
            print(json.dumps(rows[-1]), flush=True)
    with TemporaryDirectory() as folder:
        cert, key = certificate(folder)
        settings = {"FAMULUS_SERVER__TLS_CERT": cert, "FAMULUS_SERVER__TLS_KEY": key}
        trusting = ssl.create_default_context(cafile=cert)
        over_tls = [
            Kind("TLS, silent before the handshake", b"", drips=False),
            Kind("TLS, silent after it", b"", drips=False, tls=trusting),
        ]
        with server(settings=settings) as famulus:
            for kind in over_tls:
                rows.append(uvloop.run(tried(kind, famulus, count, trusting)))
                print(json.dumps(rows[-1]), flush=True)
    return 0 if all(row["closed_in_time"] == count for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
