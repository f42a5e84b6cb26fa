"""Processes under measurement: started, waited for, read and ended. Linux only."""

from __future__ import annotations

import http.client
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

HERE = Path(__file__).resolve().parent
HOST = "127.0.0.1"
START_S = 60.0
STOP_S = 15.0
POLL_S = 0.02
LOG_LINES_SHOWN = 20

_CPU_CLOCK_SCHED = 2


class NotReady(Exception):
    """A process ended, or did not answer in time; says what it logged last."""


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def cpu_s(pids: Sequence[int]) -> float:
    """Seconds on the CPU of these processes since they began, threads that ended included.

    The scheduler's own account, in nanoseconds: time that neighbours took is not in it.
    """
    # The kernel's clock id of another process is its number, inverted, over the kind of clock.
    return sum(map(_cpu_s, pids))


def _cpu_s(pid: int) -> float:
    try:
        return time.clock_gettime((~pid << 3) | _CPU_CLOCK_SCHED)
    except OSError:
        # It has ended meanwhile, and is its parent's account now.
        return 0.0


def tree(pid: int) -> list[int]:
    """The process and all below it, as they are now."""
    children: dict[int, list[int]] = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            children.setdefault(_parent(entry), []).append(int(entry))
    found = [pid]
    for each in found:
        found.extend(children.get(each, ()))
    return found


def _parent(pid: str) -> int:
    try:
        stat = Path("/proc", pid, "stat").read_text()
    except OSError:
        return 0
    return int(stat.rpartition(")")[2].split()[1])


def pss_bytes(pids: Sequence[int]) -> int:
    """Memory of these processes, each shared page counted as the share that is theirs."""
    total = 0
    for pid in pids:
        try:
            rollup = Path("/proc", str(pid), "smaps_rollup").read_text()
        except (FileNotFoundError, ProcessLookupError):
            # It has ended meanwhile.
            continue
        found = re.search(r"^Pss:\s+(\d+) kB", rollup, re.MULTILINE)
        total += int(found[1]) * 1024 if found else 0
    return total


class Served:
    """A server that answers."""

    def __init__(self, process: subprocess.Popen[bytes], port: int) -> None:
        self._process = process
        self.port = port
        self.headers: dict[str, str] = {}
        """Sent with every request; a key, where it wants one."""

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://{HOST}:{self.port}"

    @property
    def pids(self) -> list[int]:
        """Its processes."""
        return tree(self._process.pid)

    def ask(self, method: str, path: str, body: bytes | None = None) -> bytes:
        """One request outside any measurement. Raises NotReady unless it is answered with 200."""
        connection = http.client.HTTPConnection(HOST, self.port, timeout=START_S)
        headers = dict(self.headers)
        if body is not None:
            headers["Content-Type"] = "application/json"
        try:
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            answer = response.read()
        finally:
            connection.close()
        if response.status != 200:
            raise NotReady(f"{method} {path}: {response.status} {answer[:500]!r}")
        return answer

    def request(self, method: str, path: str, body: bytes = b"") -> str:
        """The bytes of a request, for `traffic.py`, as latin-1 text."""
        lines = [f"{method} {path} HTTP/1.1", f"host: {HOST}:{self.port}"]
        lines += [f"{name}: {value}" for name, value in self.headers.items()]
        if method == "POST":
            lines += ["content-type: application/json", f"content-length: {len(body)}"]
        return "\r\n".join(lines) + "\r\n\r\n" + body.decode("latin-1")


@contextmanager
def served(
    command: Sequence[str],
    *,
    port: int,
    log: Path,
    ready_path: str | None = None,
    environment: Mapping[str, str] | None = None,
) -> Iterator[Served]:
    """Start a server, wait until it answers, and end it when left. Raises NotReady."""
    with log.open("ab") as out:
        process = subprocess.Popen(
            command,
            env={**os.environ, **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        server = Served(process, port)
        _await_ready(process, server, ready_path, log)
        yield server
    finally:
        _stop(process)


def _await_ready(
    process: subprocess.Popen[bytes], server: Served, ready_path: str | None, log: Path
) -> None:
    give_up = time.monotonic() + START_S
    while not _answers(server, ready_path):
        if process.poll() is not None:
            raise NotReady(f"{process.args!r} ended with {process.returncode}:\n{tail(log)}")
        if time.monotonic() > give_up:
            raise NotReady(f"{process.args!r} did not answer in {START_S:g} s:\n{tail(log)}")
        time.sleep(POLL_S)


def _answers(server: Served, ready_path: str | None) -> bool:
    try:
        socket.create_connection((HOST, server.port), 1).close()
        if ready_path is not None:
            server.ask("GET", ready_path)
    except (OSError, http.client.HTTPException, NotReady):
        return False
    return True


def _stop(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is not None:
        return
    process.terminate()
    try:
        process.wait(STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def tail(log: Path) -> str:
    """The last that a process logged."""
    lines = log.read_text(errors="replace").splitlines()
    return "\n".join(lines[-LOG_LINES_SHOWN:])


@contextmanager
def floor(app: str, log: Path, **environment: str) -> Iterator[Served]:
    """A bare ASGI app of `floors.py`, on uvicorn as Famulus sets it up."""
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", f"floors:{app}", "--app-dir", str(HERE)]
    command += ["--host", HOST, "--port", str(port), "--http", "httptools", "--loop", "uvloop"]
    command += ["--no-access-log", "--log-level", "warning", "--no-server-header", "--ws", "none"]
    with served(command, port=port, log=log, environment=environment) as server:
        yield server


@contextmanager
def model_stub(models: Sequence[str], folder: Path) -> Iterator[Served]:
    """A model server that answers at once and streams at the pace that the model's name says."""
    port = free_port()
    command = [*stub_command(folder), str(port), *models]
    with served(command, port=port, log=folder / "stub.log", ready_path="/v1/models") as server:
        yield server


def stub_command(folder: Path) -> list[str]:
    """How to run the stub: compiled where there is a compiler, else in Python."""
    compiler = compiler_path()
    if compiler is None:
        return [sys.executable, str(HERE / "stub.py")]
    program = folder / "stub"
    if not program.exists():
        source = str(HERE / "stub.c")
        subprocess.run([compiler, "-O2", "-Wall", "-o", str(program), source], check=True)
    return [str(program)]


def compiler_path() -> str | None:
    """A C compiler, if there is one."""
    return shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
