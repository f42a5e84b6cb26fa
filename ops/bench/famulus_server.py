"""Famulus as people start it: one command, everything on, its own data folder."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from servers import HOST, NotReady, Served, free_port, served

READY = "/health/ready"
NO_BOXES = {"FAMULUS_BUBBLEWRAP__PROBE_AFTER_S": "1000000"}
"""They are tried out and kept ready some seconds after a start, which is another benchmark's."""
_FIRST_KEY = re.compile(r"OPENAI_API_KEY=(\S+)")


@contextmanager
def famulus(
    folder: Path,
    *,
    backend: Served | None = None,
    environment: Mapping[str, str] | None = None,
    has_key: bool = True,
) -> Iterator[Served]:
    """A server, and the key that it printed at its first start, where it has keys."""
    port, log = free_port(), folder / "famulus.log"
    command = [sys.executable, "-m", "famulus", "serve", "--host", HOST, "--port", str(port)]
    command += ["--data-dir", str(folder / "data")]
    if backend is not None:
        command += ["--backend", f"{backend.url}/v1"]
    environment = {**NO_BOXES, **(environment or {})}
    with served(command, port=port, log=log, ready_path=READY, environment=environment) as server:
        found = _FIRST_KEY.search(log.read_text())
        if found is not None:
            server.headers["authorization"] = f"Bearer {found[1]}"
        elif has_key:
            raise NotReady("it printed no first key")
        yield server
