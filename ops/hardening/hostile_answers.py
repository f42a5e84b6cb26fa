"""Has hostile hosts answer the client that fetches, and prints how long that held up all others.

    python ops/hardening/hostile_answers.py

The hosts are a process of their own, on 127.0.0.2, which send as fast as they can, or as slowly.
Of each kind as many are fetched at once as one project may. Prints when the last fetch had ended
and why, and by how much somebody was woken too late meanwhile. Ends with 1 where one took longer
than it may.
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import socket
import sys
import threading
import time
from multiprocessing.queues import SimpleQueue
from typing import Any, NamedTuple

import uvloop
from served import quantile

from famulus.testing.kit import quiet_log
from famulus_fetch.plugin import Fetching
from famulus_fetch.settings import FetchSettings
from famulus_schemas.fetching import NotFetched

HOST = "127.0.0.2"
TOTAL_S = 5.0
SLACK_S = 1.0
PAUSE_S = 0.005
PIECE_BYTES = 65_536


class Kind(NamedTuple):
    """What a host sends first, and then again and again, with a pause or without."""

    name: str
    begins: bytes
    again: bytes
    pause_s: float = 0.0


OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"transfer-encoding: chunked\r\n\r\n"

KINDS = (
    Kind("silent", b"", b""),
    Kind("headers, one a second", OK, b"x: y\r\n", 1.0),
    Kind("content, a byte a second", OK + b"content-length: 9999\r\n\r\n", b"x", 1.0),
    Kind("headers without end", OK, b"x: y\r\n"),
    Kind("one header without end", OK + b"x: ", b"y"),
    Kind("answers before the answer", b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    Kind("blank lines", b"", b"\r\n"),
    Kind("a chunk's size", CHUNKED, b"0"),
    Kind("a chunk's extension", CHUNKED + b"1;", b"a"),
    Kind("chunks of one byte", CHUNKED, b"1\r\nx\r\n"),
    Kind("trailers without end", CHUNKED + b"0\r\n", b"x: y\r\n"),
    Kind("content without end", OK + b"\r\n", b"x"),
)


def host(kind: Kind, ports: SimpleQueue[int]) -> None:
    """Answer everybody alike, for ever."""
    listener = socket.socket()
    listener.bind((HOST, 0))
    listener.listen()
    ports.put(listener.getsockname()[1])
    while True:
        accepted, _ = listener.accept()
        threading.Thread(target=_answer, args=(accepted, kind), daemon=True).start()


def _answer(accepted: socket.socket, kind: Kind) -> None:
    try:
        accepted.recv(PIECE_BYTES)
        accepted.sendall(kind.begins)
        if not kind.again:
            threading.Event().wait()
        piece = kind.again if kind.pause_s else kind.again * (PIECE_BYTES // len(kind.again))
        while True:
            accepted.sendall(piece)
            time.sleep(kind.pause_s)
    except OSError:
        pass


async def late(waits: list[float]) -> None:
    """Note by how much this is woken too late, until cancelled."""
    while True:
        began = time.monotonic()
        await asyncio.sleep(PAUSE_S)
        waits.append(time.monotonic() - began - PAUSE_S)


async def tried(kind: Kind, port: int) -> dict[str, Any]:
    """Fetch as often at once as one project may."""
    settings = FetchSettings(networks=(f"{HOST}/32",), ports=(port,), total_s=TOTAL_S)
    client = Fetching(settings, _no_names, quiet_log())
    waits: list[float] = []
    watching = asyncio.create_task(late(waits))
    began = time.monotonic()

    async def fetched() -> str:
        try:
            await client.get("p", f"http://{HOST}:{port}/", bytes_max=settings.bytes_max)
        except NotFetched as refusal:
            return str(refusal)
        return "fetched"

    ends = await asyncio.gather(*(fetched() for _ in range(settings.at_once_per_project_max)))
    took_s = time.monotonic() - began
    watching.cancel()
    return {
        "kind": kind.name,
        "ended_s": round(took_s, 1),
        "reasons": sorted(set(ends)),
        "others_late_p50_ms": round(1e3 * quantile(waits, 0.5), 1),
        "others_late_max_ms": round(1e3 * max(waits, default=took_s), 1),
    }


async def _no_names(host: str, port: int) -> list[str]:
    raise OSError("no names here")


def main() -> int:
    """Try each kind, print and judge."""
    import famulus_fetch.client  # noqa: F401 - what it imports is no host's fault

    rows = []
    for kind in KINDS:
        ports: SimpleQueue[int] = multiprocessing.SimpleQueue()
        process = multiprocessing.Process(target=host, args=(kind, ports), daemon=True)
        process.start()
        rows.append(uvloop.run(tried(kind, ports.get())))
        process.kill()
        process.join()
        print(json.dumps(rows[-1]), flush=True)
    return 0 if all(row["ended_s"] <= TOTAL_S + SLACK_S for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
