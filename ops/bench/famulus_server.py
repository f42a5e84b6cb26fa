"""Famulus as people start it: one command, everything on, its own data folder."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from servers import HOST, Served, free_port, served

READY = "/health/ready"

EVERYONE = '''
from famulus import NoSettings, Plugin, hookimpl
from famulus_schemas.identity import Principal

class Everyone(Plugin[NoSettings]):
    """Lets everyone in."""

    name = "everyone"

    @hookimpl
    async def authenticate(self, headers):
        return Principal(id="bench", project="default")
'''


def command(folder: Path, port: int, backend: str | None) -> list[str]:
    """How it is started."""
    line = [sys.executable, "-m", "famulus", "serve", "--host", HOST, "--port", str(port)]
    line += ["--data-dir", str(folder / "data")]
    (folder / "plugins").mkdir(exist_ok=True)
    (folder / "plugins" / "everyone.py").write_text(EVERYONE)
    line += ["--plugins-dir", str(folder / "plugins")]
    return [*line, "--backend", backend] if backend else line


@contextmanager
def famulus(
    folder: Path,
    *,
    backend: Served | None = None,
    environment: Mapping[str, str] | None = None,
) -> Iterator[Served]:
    """A server with a key for its requests."""
    port = free_port()
    url = f"{backend.url}/v1" if backend else None
    with served(
        command(folder, port, url),
        port=port,
        log=folder / "famulus.log",
        ready_path=READY,
        environment=environment,
    ) as server:
        server.headers["authorization"] = "Bearer sk-everyone"
        yield server
