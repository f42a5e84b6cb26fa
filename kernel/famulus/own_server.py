"""A server in a process of its own, with a key and a folder that last as long as it does.

For commands that need a server to talk to, and must not touch the one that is configured.
"""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
import tempfile
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from queue import Empty, Queue

import msgspec

STOP_S = 30.0
LINES_KEPT_MAX = 20


class ServerFailed(Exception):
    """The server did not start; carries the last that it said."""


class LogLine(msgspec.Struct):
    """What is read of a line of the server's log."""

    event: str
    base_url: str = ""


@contextmanager
def own_server(flags: Sequence[str], *, start_s: float, name: str) -> Iterator[tuple[str, str]]:
    """Serve while inside; gives the base URL and a key. Raises ServerFailed.

    `name` is the command's, for the key and the folder to be recognised by.
    """
    api_key = f"sk-{name}-{secrets.token_urlsafe(24)}"
    with tempfile.TemporaryDirectory(prefix=f"famulus-{name}-") as folder:
        process = _start(flags, folder, api_key)
        try:
            yield _Log(process).base_url(start_s), api_key
        finally:
            _end(process)


def _start(flags: Sequence[str], folder: str, api_key: str) -> subprocess.Popen[str]:
    own = ["--port", "0", "--data-dir", folder, "--log-format", "json"]
    # Nothing of the machine's own configuration: a command must not write into a real store.
    inherited = {name: text for name, text in os.environ.items() if not name.startswith("FAMULUS")}
    return subprocess.Popen(  # noqa: S603 - our own program, with flags of whoever runs it
        [sys.executable, "-m", "famulus", "serve", *own, *flags],
        cwd=folder,
        env={**inherited, "FAMULUS_API_KEY": api_key},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        # Of a session of its own, so that Ctrl-C reaches the command first, which then ends it.
        start_new_session=True,
    )


def _end(process: subprocess.Popen[str]) -> None:
    process.terminate()
    try:
        process.wait(STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


class _Log:
    """Reads the server's log to the end, so that it never waits for a reader."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self._last: deque[str] = deque(maxlen=LINES_KEPT_MAX)
        self._ready: Queue[str] = Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def base_url(self, start_s: float) -> str:
        """Where it listens, once it does. Raises ServerFailed."""
        try:
            url = self._ready.get(timeout=start_s)
        except Empty:
            raise ServerFailed(f"the server was not ready within {start_s:g} s") from None
        if not url:
            raise ServerFailed("the server did not start:\n" + "".join(self._last).rstrip())
        return url

    def _read(self) -> None:
        assert self._process.stderr is not None
        with self._process.stderr as lines:
            for line in lines:
                self._last.append(line)
                if url := _ready_url(line):
                    self._ready.put(url)
        self._ready.put("")


def _ready_url(line: str) -> str:
    try:
        told = msgspec.json.decode(line, type=LogLine)
    except msgspec.DecodeError:
        return ""
    return told.base_url if told.event == "ready" else ""
