"""Opens ten thousand streams that have nothing to say, and prints what they cost the server.

    python ops/hardening/idle_streams.py [STREAMS] [SECONDS]

All hear one run whose model never answers. They come from several processes and addresses
(127.0.0.2, ...), and must each hear a heartbeat within twice `heartbeat_s`. Ends with 1 where
one was lost or the server took more memory than it may.
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import sys
import time
from multiprocessing.connection import Connection

import uvloop
from served import HOST, Server, allow_files, quantile, server, silent_model

RSS_MB_MAX = 400.0
PROCESSES = 4
OPENING_AT_ONCE = 50
HEARTBEAT_S = 15.0


async def listen(port: int, number: int, count: int, head: bytes, pipe: Connection) -> None:
    """Open streams, say when all are, then say what each had heard when asked to."""
    at_once = asyncio.Semaphore(OPENING_AT_ONCE)
    heard = [0] * count
    ended = [False] * count
    opened: list[asyncio.StreamWriter] = []

    async def one(index: int) -> None:
        async with at_once:
            source = (f"127.0.{number + 1}.{index % 200 + 1}", 0)
            reader, writer = await asyncio.open_connection(
                HOST, port, local_addr=source, limit=16_384
            )
            opened.append(writer)
            writer.write(head)
            answer = await reader.readuntil(b"\r\n\r\n")
            assert b" 200 " in answer.split(b"\r\n")[0], answer
        while data := await reader.read(4096):
            heard[index] += data.count(b": keep-alive")
        ended[index] = True

    tasks = [asyncio.create_task(one(index)) for index in range(count)]
    while len(opened) < count or at_once._value < OPENING_AT_ONCE:
        await asyncio.sleep(0.1)
        for task in tasks:
            if task.done():
                task.result()
    pipe.send("open")
    await asyncio.to_thread(pipe.recv)
    pipe.send([(times, over) for times, over in zip(heard, ended, strict=True)])
    await asyncio.to_thread(pipe.recv)


def client(port: int, number: int, count: int, head: bytes, pipe: Connection) -> None:
    """One process of listeners."""
    uvloop.run(listen(port, number, count, head, pipe))


def idle_run(famulus: Server) -> str:
    """The path of the events of a run that says nothing more."""
    assistant = famulus.ask("POST", "/v1/assistants", {"model": "silent"})["id"]
    message = {"role": "user", "content": "Hello"}
    body = {"assistant_id": assistant, "thread": {"messages": [message]}}
    run = famulus.ask("POST", "/v1/threads/runs", body)
    return f"/v1/threads/{run['thread_id']}/runs/{run['id']}/events"


def measure(famulus: Server, streams: int, seconds: float) -> dict[str, float]:
    """The figures."""
    path = idle_run(famulus)
    head = f"GET {path} HTTP/1.1\r\nhost: {HOST}\r\nauthorization: Bearer {famulus.key}\r\n\r\n"
    before_mb, began = famulus.rss_mb, time.monotonic()
    pipes = []
    for number in range(PROCESSES):
        mine, theirs = multiprocessing.Pipe()
        arguments = (famulus.port, number + 1, streams // PROCESSES, head.encode(), theirs)
        multiprocessing.Process(target=client, args=arguments, daemon=True).start()
        pipes.append(mine)
    for pipe in pipes:
        pipe.recv()
    opening_s, cpu_s, idle_from = time.monotonic() - began, famulus.cpu_s, time.monotonic()
    waits = []
    while time.monotonic() - idle_from < seconds:
        asked = time.monotonic()
        famulus.ask("GET", "/v1/assistants")
        waits.append(time.monotonic() - asked)
        time.sleep(0.1)
    after_mb, idle_s = famulus.rss_mb, time.monotonic() - idle_from
    heard: list[tuple[int, bool]] = []
    for pipe in pipes:
        pipe.send("tell")
        heard += pipe.recv()
    return {
        "streams": len(heard),
        "ended": sum(over for _, over in heard),
        "heartbeats_least": min(times for times, _ in heard),
        "heartbeats_most": max(times for times, _ in heard),
        "opening_s": round(opening_s, 1),
        "rss_before_mb": round(before_mb, 1),
        "rss_after_mb": round(after_mb, 1),
        "kb_each": round((after_mb - before_mb) * 1e3 / len(heard), 1),
        "cpu_percent_idle": round(100 * (famulus.cpu_s - cpu_s) / idle_s, 1),
        "other_requests_p50_ms": round(1e3 * quantile(waits, 0.5), 1),
        "other_requests_p99_ms": round(1e3 * quantile(waits, 0.99), 1),
    }


def main() -> int:
    """Measure, print and judge."""
    streams = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    seconds = float(sys.argv[2]) if len(sys.argv) > 2 else 60.0
    allow_files(streams + 2048)
    settings = {
        "FAMULUS_SERVER__STREAMS_MAX": str(streams),
        "FAMULUS_SERVER__STREAMS_PER_KEY_MAX": str(streams),
        "FAMULUS_SERVER__CONNECTIONS_MAX": str(streams + 1000),
    }
    with silent_model() as url, server(["--backend", url], settings=settings) as famulus:
        figures = measure(famulus, streams, seconds)
    print(json.dumps(figures, indent=2))
    healthy = not figures["ended"] and figures["heartbeats_least"] >= seconds // (2 * HEARTBEAT_S)
    return 0 if healthy and figures["rss_after_mb"] <= RSS_MB_MAX else 1


if __name__ == "__main__":
    sys.exit(main())
