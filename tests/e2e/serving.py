"""`famulus serve` as its users run it: a process of its own, reached only through its port."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import httpx
from openai import AsyncOpenAI, OpenAI

FAMULUS = (sys.executable, "-m", "famulus")
KEY = "sk-key-of-the-whole-road"
READY_S = 120.0
"""Long, because a machine that does other things as well starts nothing quickly."""
STOP_S = 40.0
POLL_S = 0.02


class NotReady(Exception):
    """The server ended, or was not ready in time; says what it logged."""


class Served:
    """A running server."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self.process = process
        self.log = log
        self.url = ""

    @property
    def base_url(self) -> str:
        """What a client of OpenAI's is given."""
        return f"{self.url}/v1"

    def client(self) -> OpenAI:
        """The official client, with nothing but its two arguments."""
        return OpenAI(base_url=self.base_url, api_key=KEY)

    def async_client(self) -> AsyncOpenAI:
        """The official client for asyncio, likewise."""
        return AsyncOpenAI(base_url=self.base_url, api_key=KEY)

    def get(self, path: str) -> httpx.Response:
        """What the server itself says, with the key."""
        headers = {"authorization": f"Bearer {KEY}"}
        return httpx.get(f"{self.url}{path}", headers=headers, timeout=60)

    def events(self) -> list[dict[str, Any]]:
        """What it logged."""
        lines = self.log.read_text(errors="replace").splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]

    def kill(self) -> None:
        """End it as a power cut would: with no chance to put anything in order."""
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        """Ask it to end, as `systemctl stop` does, and wait; its exit status."""
        if self.process.poll() is None:
            self.process.terminate()
        try:
            return self.process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self.kill()
            raise NotReady(f"the server did not end when told to:\n{tail(self.log)}") from None


@contextmanager
def serve(
    folder: Path,
    *,
    arguments: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
    under: Sequence[str] = (),
) -> Iterator[Served]:
    """A ready server with its data in `folder`, ended when left.

    Nothing of the caller's own configuration reaches it. `under` is a command that runs another in
    its own process, such as `strace -D`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / "server.log"
    command = [*under, *FAMULUS, "serve", "--host", "127.0.0.1", "--port", "0"]
    command += ["--data-dir", str(folder / "data"), "--log-format", "json", *arguments]
    seen = log.stat().st_size if log.exists() else 0
    with log.open("ab") as out:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=environment_of(environment),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
        )
    served = Served(process, log)
    try:
        served.url = _ready_url(process, log, seen)
        yield served
        served.stop()
    finally:
        if process.poll() is None:
            served.kill()


def environment_of(environment: Mapping[str, str] | None = None) -> dict[str, str]:
    """This process's environment without what configures a server, and with the test's key.

    Plugins that strangers installed here are left out: they bring models of their own.
    """
    inherited = {key: value for key, value in os.environ.items() if "FAMULUS" not in key}
    strangers = [
        plugin.name
        for plugin in entry_points(group="famulus.plugins")
        if plugin.dist is None or plugin.dist.name != "famulus"
    ]
    without = {f"FAMULUS_{name.upper()}__ENABLED": "false" for name in strangers}
    return {**inherited, **without, "FAMULUS_API_KEY": KEY, **(environment or {})}


def _ready_url(process: subprocess.Popen[bytes], log: Path, seen: int) -> str:
    give_up = time.monotonic() + READY_S
    while time.monotonic() < give_up:
        ended = process.poll() is not None
        for line in log.read_bytes()[seen:].splitlines(keepends=True):
            if b'"ready"' in line and line.endswith(b"\n"):
                return str(json.loads(line)["url"])
        if ended:
            raise NotReady(f"the server ended with {process.returncode}:\n{tail(log)}")
        time.sleep(POLL_S)
    raise NotReady(f"the server was not ready in {READY_S:g} s:\n{tail(log)}")


def tail(log: Path, lines: int = 20) -> str:
    """The last that was logged."""
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])
