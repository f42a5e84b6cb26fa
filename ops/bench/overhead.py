"""What letting people in, limiting, counting and logging them adds to a request, each and together.

The floor is a bare request: an empty ASGI app behind uvicorn and httptools on a socket, as Famulus
has them, its CPU by the scheduler's account. Over the socket it is compared with whole servers,
each a process; all are sent what the official client sends. What is added is also measured in one
process and without sockets, where next to nothing else is: of many short batches, in turn, the
least is least disturbed by neighbours.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

import msgspec
import sample
from famulus_server import NO_BOXES, famulus
from harness import (
    Measure,
    Options,
    Rounds,
    Row,
    Table,
    Target,
    column,
    interleave,
    least,
    load,
    ratios,
)
from harness import row as told_row
from msgspec.structs import replace
from sample import CLIENT_HEADERS
from servers import HERE, Served, floor

ABOUT = "overhead: authentication, rate limits, metrics and the log's line, against none of them"
READERS = 32
WINDOW_S = 0.3
WINDOWS = 16
"""In each round, of which the least disturbed counts: what is added is little beside what a
machine's other work adds and takes away."""
HALF = Target("<=", 0.5)

BARE = f"bare ASGI request, c={READERS}"
NOTHING = "none of them"
TOGETHER = "together"
SHARED = "together, limits in Redis"

PER_MINUTE = "1000000000"
LIMITS = {
    "FAMULUS_RATE_LIMITS__REQUESTS_PER_MINUTE": PER_MINUTE,
    "FAMULUS_RATE_LIMITS__PROJECT_REQUESTS_PER_MINUTE": PER_MINUTE,
    "FAMULUS_REDIS__ENABLED": "false",
}
OFF = {
    "authentication": {"FAMULUS_KEYS__ENABLED": "false"},
    "rate limits": {"FAMULUS_RATE_LIMITS__ENABLED": "false"},
    "metrics": {"FAMULUS_METRICS__ENABLED": "false"},
    "log lines": {"FAMULUS_SERVER__LOG_REQUESTS": "false"},
}
EVERYBODY = '''\
"""Lets everybody in, at once: without any plugin that does, nobody is."""

from famulus import NoSettings, Plugin, hookimpl
from famulus_schemas.identity import Principal

WHO = Principal(id="everybody")


class Everybody(Plugin[NoSettings]):
    """Lets everybody in."""

    name = "everybody"

    @hookimpl
    def recognize(self, headers):
        """Whoever it is."""
        return WHO

    @hookimpl
    async def authenticate(self, headers):
        """As at once."""
        return WHO
'''


def run(options: Options) -> list[Table]:
    """CPU a request: over the socket, and what is added in process."""
    servers = _servers(options.folder)
    inside = _inside(options, servers)
    return [_over_the_socket(options, servers), *inside]


def _servers(folder: Path) -> dict[str, dict[str, str]]:
    """The variables of each server."""
    plugins = folder / "plugins"
    plugins.mkdir()
    (plugins / "everybody.py").write_text(EVERYBODY)
    open_to_all = {"FAMULUS_SERVER__PLUGINS_DIR": str(plugins)}

    def with_only(*names: str) -> dict[str, str]:
        off = [variables for name, variables in OFF.items() if name not in names]
        found = dict(LIMITS)
        for variables in off:
            found |= variables
        return found if "authentication" in names else found | open_to_all

    servers = {NOTHING: with_only(), **{name: with_only(name) for name in OFF}}
    servers[TOGETHER] = with_only(*OFF)
    url = os.environ.get("FAMULUS_TEST_REDIS", "redis://127.0.0.1:6379/0")
    if _answers(url):
        redis = {
            "FAMULUS_REDIS__ENABLED": "true",
            "FAMULUS_REDIS__URL": url,
            "FAMULUS_REDIS__PREFIX": "bench:",
        }
        servers[SHARED] = {**servers[TOGETHER], **redis}
    usual = {**NO_BOXES, "FAMULUS_OPENAI_COMPATIBLE__DISCOVER": "false"}
    return {name: {**usual, **variables} for name, variables in servers.items()}


def _answers(url: str) -> bool:
    parts = urlsplit(url)
    try:
        socket.create_connection((parts.hostname or "", parts.port or 6379), 1).close()
    except OSError:
        return False
    return True


# --- over the socket ----------------------------------------------------------------------------


def _over_the_socket(options: Options, servers: Mapping[str, Mapping[str, str]]) -> Table:
    compared = [name for name in (NOTHING, TOGETHER, SHARED) if name in servers]
    with ExitStack() as opened:
        bare = opened.enter_context(floor("whole", options.folder / "floor.log"))
        bare.headers = CLIENT_HEADERS
        cells = {BARE: _cell(bare, bare.request("GET", "/"), options)}
        for number, name in enumerate(compared):
            folder = options.folder / f"socket{number}"
            folder.mkdir()
            has_key = "FAMULUS_KEYS__ENABLED" not in servers[name]
            server = opened.enter_context(
                famulus(folder, environment=servers[name], has_key=has_key)
            )
            server.headers = {**CLIENT_HEADERS, **server.headers}
            cells[f"{name}: models"] = _cell(server, server.request("GET", "/v1/models"), options)
            made = json.loads(server.ask("POST", "/v1/assistants", sample.CREATE_ASSISTANT))
            path = f"/v1/assistants/{made['id']}"
            cells[f"{name}: assistant"] = _cell(server, server.request("GET", path), options)
        windows = 1 if options.quick else WINDOWS
        every = interleave(cells, replace(options, rounds=windows * options.rounds))
        found = least(every, windows)
    return Table(
        title="CPU a request over the socket",
        unit="CPU us",
        rows=[
            told_row(found, BARE, beside=["per_s"]),
            *(told_row(found, name, floor=BARE, beside=["per_s"]) for name in list(cells)[1:]),
            *(_more(found, TOGETHER, what, HALF) for what in ("models", "assistant")),
            *(
                _more(found, SHARED, what, None)
                for what in ("models", "assistant")
                if SHARED in servers
            ),
        ],
        note=f"Of every {WINDOWS} short windows in turn the least. The last rows are what is added "
        "to the same request with none of them, as a part of a bare one of the same round.",
    )


def _cell(server: Served, request: str, options: Options) -> Measure:
    return lambda: load(server, options, [request], READERS, window_s=WINDOW_S, is_awake=True)


def _more(found: Rounds, name: str, what: str, target: Target | None) -> Row:
    nothing, bare = column(found, f"{NOTHING}: {what}"), column(found, BARE)
    pairs = zip(column(found, f"{name}: {what}"), nothing, strict=True)
    more = [each - base for each, base in pairs]
    return Row(name=f"{name}: {what}: more", figures=more, ratios=ratios(more, bare), target=target)


# --- in process ---------------------------------------------------------------------------------


def _inside(options: Options, servers: Mapping[str, Mapping[str, str]]) -> list[Table]:
    folder = options.folder / "inside"
    folder.mkdir()
    plan = {
        "servers": servers,
        "rounds": 3 if options.quick else 60 * options.rounds,
        "requests": 5 if options.quick else 25,
        "folder": str(folder),
    }
    done = subprocess.run(
        [sys.executable, str(HERE / "overhead_inside.py")],
        input=msgspec.json.encode(plan),
        stdout=subprocess.PIPE,
        check=True,
    )
    found: dict[str, list[float]] = json.loads(done.stdout)
    return [_least(found, list(servers), what) for what in ("models", "assistant")]


def _least(found: Mapping[str, list[float]], names: list[str], what: str) -> Table:
    lowest = {name: min(found[f"{name}: {what}"]) for name in names}
    bare = min(found["bare"])
    rows = [
        Row(name="an empty app, called by the same loop", figures=[bare], ratios=[1.0]),
        Row(name=NOTHING, figures=[lowest[NOTHING]], ratios=[lowest[NOTHING] / bare]),
        *(
            _added(name, lowest[name] - lowest[NOTHING], lowest)
            for name in names
            if name != NOTHING
        ),
    ]
    return Table(
        title=f"CPU a request in process, the least of many short batches: {what}",
        unit="CPU us",
        rows=rows,
        note="No socket, no parser of HTTP. What is added is told as a part of the same request "
        "with none of them, that one as a multiple of an empty app.",
    )


def _added(name: str, more: float, lowest: Mapping[str, float]) -> Row:
    return Row(name=f"{name}: more", figures=[more], ratios=[more / lowest[NOTHING]])
