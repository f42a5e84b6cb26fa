"""What a run at work holds in memory, with a thousand of them streaming."""

from __future__ import annotations

import itertools
import json
import resource
import select
import socket
import time
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path

import sample
from famulus_server import famulus
from harness import Figures, Options, Rounds, Row, Table, column, interleave, ratios
from servers import HOST, Served, floor, model_stub, pss_bytes

ABOUT = "memory: a thousand runs at work at once, each streamed to its client"
RUNS, RUNS_QUICK = 1_000, 40
MODEL = "paced-1-600"
READ_BYTES = 65_536
OPEN_S = 120.0
SETTLE_S = 2.0
AT_ONCE = 250
"""So many are begun together, and the next when these have their first token."""

RELAY, FAMULUS = "relay", "runs"
ROOM = {"FAMULUS_RUNS__RUNS_AT_ONCE_MAX": "2000"}


def run(options: Options) -> list[Table]:
    """Kilobytes a run."""
    count = RUNS_QUICK if options.quick else RUNS
    _raise_files_max(3 * count + 500)
    numbers = itertools.count()

    def fresh() -> Path:
        path = options.folder / f"memory-{next(numbers)}"
        path.mkdir()
        return path

    with model_stub([MODEL], options.folder) as stub:

        def relay() -> Figures:
            bare = floor("relay", fresh() / "relay.log", UPSTREAM_PORT=str(stub.port))
            return _measured(bare, count)

        def runs() -> Figures:
            return _measured(famulus(fresh(), backend=stub, environment=ROOM), count)

        found = interleave({RELAY: relay, FAMULUS: runs}, options)
    return [_table(found, count)]


def _raise_files_max(wanted: int) -> None:
    """Servers inherit it; one connection each way is a file."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, most), hard))


def _measured(server: AbstractContextManager[Served], count: int) -> Figures:
    with server as served, ExitStack() as opened:
        request = _request(served)
        # What the first run brings into memory, none of the others brings again.
        _begun(served, request, 1, opened)
        before = pss_bytes(served.pids)
        _begun(served, request, count - 1, opened)
        time.sleep(SETTLE_S)
        after = pss_bytes(served.pids)
    return {
        "kb": (after - before) / (count - 1) / 1e3,
        "idle_mb": before / 1e6,
        "full_mb": after / 1e6,
    }


def _request(served: Served) -> bytes:
    if not served.headers:
        chat = sample.chat(MODEL, stream=True)
        return served.request("POST", "/v1/chat/completions", chat).encode("latin-1")
    assistant = served.ask("POST", "/v1/assistants", json.dumps({"model": MODEL}).encode())
    body = {
        "assistant_id": json.loads(assistant)["id"],
        "thread": {"messages": [{"role": "user", "content": sample.TEXT}]},
        "stream": True,
    }
    run_of = json.dumps(body).encode()
    return served.request("POST", "/v1/threads/runs", run_of).encode("latin-1")


def _begun(served: Served, request: bytes, count: int, opened: ExitStack) -> None:
    """Open so many streams, and read them until each has its first token."""
    poll = select.epoll()
    opened.callback(poll.close)
    give_up = time.monotonic() + OPEN_S
    waiting: dict[int, socket.socket] = {}
    left = count
    while left or waiting:
        while left and len(waiting) < AT_ONCE:
            peer = opened.enter_context(socket.create_connection((HOST, served.port)))
            peer.sendall(request)
            poll.register(peer, select.EPOLLIN)
            waiting[peer.fileno()] = peer
            left -= 1
        if time.monotonic() > give_up:
            raise AssertionError(f"{left + len(waiting)} of {count} streams have no token yet")
        for number, _ in poll.poll(0.1):
            # A token of the stub's carries this; those that have one are left to flow.
            if b"~" in waiting[number].recv(READ_BYTES):
                poll.unregister(number)
                del waiting[number]


def _table(found: Rounds, count: int) -> Table:
    rows = []
    for name in (RELAY, FAMULUS):
        figures = column(found, name, "kb")
        beside = {
            each: sorted(column(found, name, each))[len(figures) // 2]
            for each in ("idle_mb", "full_mb")
        }
        over = ratios(figures, column(found, RELAY, "kb"))
        rows.append(Row(name=f"{name}, a stream", figures=figures, ratios=over, beside=beside))
    return Table(
        title=f"Memory of {count:,} streams (PSS)",
        unit="KB",
        rows=rows,
        note="What one more stream adds to the server's processes; the connections to client and "
        "model are in it on both sides.",
    )
