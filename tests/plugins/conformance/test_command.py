"""`famulus conformance` as its users meet it."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.anyio


def conformance(
    folder: Path, *flags: str, path: str = "", **variables: str
) -> subprocess.CompletedProcess[str]:
    environment = {
        **{name: text for name, text in os.environ.items() if not name.startswith("FAMULUS")},
        **variables,
    }
    return subprocess.run(
        [sys.executable, "-m", "famulus", "conformance", *flags],
        env={**environment, "PYTHONPATH": path},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )


async def test_a_server_of_its_own_is_judged_and_the_report_is_written(tmp_path: Path) -> None:
    config = tmp_path / "alone.toml"
    config.write_text("[plugins.openai_compatible]\ndiscover = false\n")
    flags = ("--config", str(config), "--only", "models", "--only", "threads", "--layer", "probes")
    done = await asyncio.to_thread(conformance, tmp_path, *flags, "--report", "told")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[0].split()[:3] == ["group", "operations", "implemented"]
    assert "createThread: " in done.stderr
    found = json.loads((tmp_path / "told" / "REPORT.json").read_text())
    assert [*found["groups"]] == ["threads", "models"]
    assert (
        "Judged was famulus with the model famulus-builtin"
        in (tmp_path / "told" / "REPORT.md").read_text()
    )


class Stub(BaseHTTPRequestHandler):
    """A server that lists a model to whoever asks, and knows nothing else."""

    protocol_version = "HTTP/1.1"

    def answer(self) -> None:
        """Answer any request."""
        self.rfile.read(int(self.headers.get("content-length", 0)))
        model = {"id": "m", "object": "model", "created": 1, "owned_by": "me"}
        lists = self.command == "GET" and self.path == "/v1/models"
        body = {"object": "list", "data": [model]} if lists else {"detail": "Not Found"}
        self.send_response(200 if lists else 404)
        content = json.dumps(body).encode()
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_DELETE = do_PUT = answer

    def log_message(self, *arguments: Any) -> None:
        """Say nothing."""


async def test_a_server_that_deviates_is_told_and_the_exit_code_says_so(tmp_path: Path) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), Stub) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/v1"
        flags = ("--base-url", url, "--only", "models", "--only", "threads")
        done = await asyncio.to_thread(conformance, tmp_path, *flags, "--layer", "probes")
        server.shutdown()
    assert done.returncode == 1
    assert "listModels: 401 without a key: expected 401, got 200" in done.stderr
    rows = {line.split()[0]: line.split() for line in done.stdout.splitlines()}
    assert rows["threads"][2:4] == ["0", "%"]
    assert rows["models"][2:4] == ["33.3", "%"]


async def test_a_server_that_is_not_there_is_told_as_such(tmp_path: Path) -> None:
    done = await asyncio.to_thread(conformance, tmp_path, "--base-url", "http://127.0.0.1:1/v1")
    assert done.returncode == 1
    assert "Error: http://127.0.0.1:1/v1 does not answer" in done.stderr


async def test_without_what_it_needs_it_says_what_to_install(tmp_path: Path) -> None:
    """A finder that hides a package is what a machine without it looks like."""
    (tmp_path / "sitecustomize.py").write_text(
        "import importlib.util\n"
        "find = importlib.util.find_spec\n"
        "importlib.util.find_spec = (\n"
        "    lambda name, *rest: None if name == 'jsonschema_rs' else find(name, *rest)\n"
        ")\n"
    )
    done = await asyncio.to_thread(conformance, tmp_path, path=str(tmp_path))
    assert done.returncode == 1
    assert 'pip install "famulus[conformance]"' in done.stderr
