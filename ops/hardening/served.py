"""A server in a process of its own, with a model that never answers. Linux only."""

from __future__ import annotations

import http.client
import json
import os
import re
import resource
import secrets
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

HOST = "127.0.0.1"
READY_S = 120.0


class Server:
    """A running server."""

    def __init__(self, pid: int, port: int, key: str) -> None:
        self.pid = pid
        self.port = port
        self.key = key

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """One request; its answer."""
        connection = http.client.HTTPConnection(HOST, self.port, timeout=60)
        headers = {"authorization": f"Bearer {self.key}", "content-type": "application/json"}
        connection.request(method, path, None if body is None else json.dumps(body), headers)
        answer = json.loads(connection.getresponse().read())
        connection.close()
        return answer

    @property
    def rss_mb(self) -> float:
        """Memory of its own process that is in RAM, in 10**6 bytes."""
        found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{self.pid}/status").read_text())
        assert found is not None
        return int(found[1]) * 1024 / 1e6

    @property
    def cpu_s(self) -> float:
        """Seconds on the CPU since it began."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def server(
    arguments: Sequence[str] = (), *, settings: Mapping[str, str] | None = None
) -> Iterator[Server]:
    """Serve in a folder that lasts as long, with these variables."""
    key = f"sk-hardening-{secrets.token_urlsafe(24)}"
    environment = {name: text for name, text in os.environ.items() if "FAMULUS" not in name}
    environment |= {"FAMULUS_API_KEY": key, "FAMULUS_BUBBLEWRAP__PROBE_AFTER_S": "1000000"}
    with TemporaryDirectory() as folder, Path(folder, "log").open("wb") as log:
        command = [sys.executable, "-m", "famulus", "serve", "--port", "0", "--log-format", "json"]
        process = subprocess.Popen(
            [*command, "--data-dir", str(Path(folder, "data")), *arguments],
            env={**environment, **(settings or {})},
            cwd=folder,
            stderr=log,
        )
        try:
            yield Server(process.pid, _port(process, Path(folder, "log")), key)
        finally:
            process.kill()
            process.wait()


def _port(process: subprocess.Popen[bytes], log: Path) -> int:
    give_up = time.monotonic() + READY_S
    while time.monotonic() < give_up and process.poll() is None:
        for line in log.read_text().splitlines():
            if '"ready"' in line:
                return int(json.loads(line)["url"].rpartition(":")[2])
        time.sleep(0.1)
    raise RuntimeError(f"the server did not start:\n{log.read_text()[-2000:]}")


class _Silent(BaseHTTPRequestHandler):
    """Has one model, and never says anything."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        """Nor of that."""

    def do_GET(self) -> None:
        """The model."""
        body = json.dumps({"object": "list", "data": [{"id": "silent", "object": "model"}]})
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def do_POST(self) -> None:
        """Its answer, which does not come."""
        threading.Event().wait(3600)


@contextmanager
def silent_model() -> Iterator[str]:
    """The base URL of a model that never answers."""
    listening = ThreadingHTTPServer((HOST, 0), _Silent)
    listening.daemon_threads = True
    listening.block_on_close = False
    threading.Thread(target=listening.serve_forever, daemon=True).start()
    try:
        yield f"http://{HOST}:{listening.server_port}/v1"
    finally:
        listening.shutdown()


def allow_files(wanted: int) -> None:
    """Let this process and those that it starts have as many files open. Raises ValueError."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, max(hard, wanted)))


def quantile(values: Sequence[float], part: float) -> float:
    """The value that this part of all does not exceed."""
    ordered = sorted(values)
    return ordered[min(int(part * len(ordered)), len(ordered) - 1)]
