"""The load: a process of its own, which reads a plan from stdin and prints what it measured.

Plain sockets and one epoll, so that it takes little of the machine. It reads the server's CPU
clock itself, at the ends of the window in which it counts, so that both are of the same moment.
"""

from __future__ import annotations

import json
import select
import socket
import statistics
import sys
import time
from typing import Any

import msgspec
from servers import HOST, cpu_s

READ_BYTES = 262_144
POLL_S = 0.05
FIRST_LINE_OK = b"HTTP/1.1 200"
LAST_CHUNK = b"\r\n0\r\n\r\n"


class Plan(msgspec.Struct, kw_only=True):
    """What to do. `pids` are the processes whose CPU is read."""

    port: int
    pids: list[int]
    requests: list[str]
    """Sent in turn; `latin-1` of the bytes."""
    connections: int
    warm_s: float
    window_s: float
    streams: bool = False
    """Each connection sends one request and reads its stream, instead of one after the other."""
    event_mark: str = "\ndata: "
    is_awake: bool = False
    """Whether answers are looked for without sleeping: who sleeps on the same machine is woken by
    the server, which pays for that, and the more the longer it takes."""
    drain_s: float = 0.0
    """How long streams are read on behind the window, so that they end in peace."""


class Counts:
    """What was seen in the window."""

    def __init__(self) -> None:
        self.answers = 0
        self.tokens = 0
        self.events = 0
        self.sends = 0
        self.late_s: list[float] = []


class Peer:
    """One connection."""

    def __init__(self, plan: Plan) -> None:
        self.socket = socket.create_connection((HOST, plan.port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.answer = b""
        self.end = 0
        self.sent_at = 0.0
        self.tail = b""
        self.is_over = False

    def send(self, request: bytes) -> None:
        """Ask."""
        self.answer, self.end = b"", 0
        self.sent_at = time.perf_counter()
        self.socket.sendall(request)

    def take(self, data: bytes) -> bool:
        """Whether the answer is whole. Raises ValueError for one that is not a success."""
        self.answer += data
        if not self.end:
            head_end = self.answer.find(b"\r\n\r\n")
            if head_end < 0:
                return False
            self.end = self._end(head_end)
        if self.end < 0:
            return self.answer.endswith(LAST_CHUNK)
        return len(self.answer) >= self.end

    def behind_head(self, data: bytes) -> bytes:
        """What of the first pieces is body. Raises ValueError for an answer that is no success."""
        self.answer += data
        head_end = self.answer.find(b"\r\n\r\n")
        if head_end < 0:
            return b""
        self._end(head_end)
        self.end = head_end + 4
        return self.answer[self.end :]

    def _end(self, head_end: int) -> int:
        head = self.answer[:head_end].lower()
        if not self.answer.startswith(FIRST_LINE_OK):
            raise ValueError(self.answer[:1000].decode("latin-1"))
        _, found, rest = head.partition(b"\r\ncontent-length:")
        return head_end + 4 + int(rest.partition(b"\r\n")[0]) if found else -1


def _opened(plan: Plan, poll: select.epoll) -> dict[int, Peer]:
    peers = {}
    for _ in range(plan.connections):
        peer = Peer(plan)
        poll.register(peer.socket.fileno(), select.EPOLLIN)
        peers[peer.socket.fileno()] = peer
    return peers


def drive(plan: Plan) -> dict[str, float]:
    """One request after the other on every connection, for `warm_s`, then for `window_s`."""
    poll = select.epoll()
    peers = _opened(plan, poll)
    requests = [text.encode("latin-1") for text in plan.requests]
    sent = 0
    for peer in peers.values():
        peer.send(requests[sent % len(requests)])
        sent += 1
    counts = Counts()
    begin = time.perf_counter() + plan.warm_s
    end = begin + plan.window_s
    cpu_before: float | None = None
    now = 0.0
    while now < end:
        for fd, _ in poll.poll(0 if plan.is_awake else POLL_S):
            peer = peers[fd]
            data = peer.socket.recv(READ_BYTES)
            if not data:
                raise ValueError("the server closed a connection")
            if not peer.take(data):
                continue
            if cpu_before is not None:
                counts.answers += 1
                counts.late_s.append(time.perf_counter() - peer.sent_at)
            peer.send(requests[sent % len(requests)])
            sent += 1
        now = time.perf_counter()
        if cpu_before is None and now >= begin:
            cpu_before, begin = cpu_s(plan.pids), now
    cpu = cpu_s(plan.pids) - (cpu_before or 0.0)
    seconds = time.perf_counter() - begin
    if not counts.answers:
        raise ValueError("nothing was answered in the window")
    return {
        "cpu_us": cpu * 1e6 / counts.answers,
        "per_s": counts.answers / seconds,
        "cores": cpu / seconds,
        **_percentiles(counts.late_s),
    }


def listen(plan: Plan) -> dict[str, float]:
    """Open all streams, wait `warm_s`, then count what comes in `window_s`."""
    poll = select.epoll()
    peers = _opened(plan, poll)
    for number, peer in enumerate(peers.values()):
        peer.send(plan.requests[number % len(plan.requests)].encode("latin-1"))
    mark = plan.event_mark.encode()
    begin = time.perf_counter() + plan.warm_s
    _read_until(begin, poll, peers, mark, Counts())
    if any(peer.is_over for peer in peers.values()):
        raise ValueError("a stream ended before the window began")
    counts = Counts()
    cpu, begin = cpu_s(plan.pids), time.perf_counter()
    _read_until(begin + plan.window_s, poll, peers, mark, counts)
    cpu, seconds = cpu_s(plan.pids) - cpu, time.perf_counter() - begin
    _read_until(time.perf_counter() + plan.drain_s, poll, peers, mark, Counts())
    if not counts.tokens:
        raise ValueError("no token came in the window")
    return {
        "cpu_us": cpu * 1e6 / counts.tokens,
        "per_s": counts.tokens / seconds,
        "cores": cpu / seconds,
        "tokens_per_event": counts.tokens / max(1, counts.events),
        "events_per_send": counts.events / max(1, counts.sends),
        "ended": sum(peer.is_over for peer in peers.values()),
        **_percentiles(counts.late_s),
    }


def _read_until(
    end: float, poll: select.epoll, peers: dict[int, Peer], mark: bytes, counts: Counts
) -> None:
    keep = len(mark) - 1
    while time.perf_counter() < end and not all(peer.is_over for peer in peers.values()):
        for fd, _ in poll.poll(POLL_S):
            peer = peers[fd]
            read = peer.socket.recv(READ_BYTES)
            data = read if peer.end else peer.behind_head(read)
            if not read or (peer.tail + data).endswith(LAST_CHUNK):
                peer.is_over = True
                poll.unregister(fd)
            tokens = data.count(b"~")
            if tokens:
                counts.tokens += tokens
                _note_lateness(data, counts)
            counts.events += (peer.tail + data).count(mark)
            peer.tail = data[-keep:]
            # A chunk, which is one send of the server's, has two of them, and events have none.
            counts.sends += data.count(b"\r") // 2


def _note_lateness(data: bytes, counts: Counts) -> None:
    begin = data.rfind(b"~") + 1
    digits, found, _ = data[begin : begin + 24].partition(b" ")
    if found:
        counts.late_s.append((time.monotonic_ns() - int(digits)) / 1e9)


def _percentiles(seconds: list[float]) -> dict[str, float]:
    if len(seconds) < 2:
        return {}
    cuts = statistics.quantiles(seconds, n=100)
    return {"p50_ms": cuts[49] * 1e3, "p99_ms": cuts[98] * 1e3}


def main() -> None:
    """Do the plan on stdin."""
    plan = msgspec.json.decode(sys.stdin.buffer.read(), type=Plan)
    try:
        found: dict[str, Any] = listen(plan) if plan.streams else drive(plan)
    except (ValueError, OSError) as error:
        sys.exit(f"traffic: {error}")
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main()
