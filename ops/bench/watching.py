"""What being watched costs a request: metrics and the line of the log, each alone and together."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import ExitStack

import sample
from famulus_server import famulus
from harness import (
    Measure,
    Options,
    Rounds,
    Row,
    Table,
    Target,
    column,
    interleave,
    load,
    ratios,
    row,
)
from servers import Served, floor

ABOUT = "watching: GET of a message with and without metrics and the line of the log"
READERS = 32

BARE = f"bare ASGI GET, c={READERS}"
NEITHER = "Famulus GET message, neither"
METRICS = "with metrics"
LOG = "with a line of the log"
BOTH = "with both, as it is by default"

SWITCHES = {
    NEITHER: {"FAMULUS_METRICS__ENABLED": "false", "FAMULUS_SERVER__LOG_REQUESTS": "false"},
    METRICS: {"FAMULUS_SERVER__LOG_REQUESTS": "false"},
    LOG: {"FAMULUS_METRICS__ENABLED": "false"},
    BOTH: {},
}


def run(options: Options) -> list[Table]:
    """CPU a request."""
    with ExitStack() as opened:
        log = options.folder / "floor.log"
        bare = opened.enter_context(floor("whole", log, STORED_BODY=sample.MESSAGE))
        cells = {BARE: _cell(bare, [bare.request("GET", "/")], options)}
        for number, (name, environment) in enumerate(SWITCHES.items()):
            folder = options.folder / str(number)
            folder.mkdir()
            server = opened.enter_context(famulus(folder, environment=environment))
            reads = [server.request("GET", _message(server))]
            cells[name] = _cell(server, reads, options)
        found = interleave(cells, options)
    return [_table(found)]


def _cell(server: Served, reads: Sequence[str], options: Options) -> Measure:
    return lambda: load(server, options, reads, READERS)


def _message(server: Served) -> str:
    thread = json.loads(server.ask("POST", "/v1/threads", b"{}"))["id"]
    path = f"/v1/threads/{thread}/messages"
    return f"{path}/{json.loads(server.ask('POST', path, sample.CREATE_MESSAGE))['id']}"


def _table(found: Rounds) -> Table:
    rows = [row(found, BARE), *(row(found, name, floor=BARE) for name in SWITCHES)]
    bare, neither = column(found, BARE), column(found, NEITHER)
    for name in (METRICS, LOG, BOTH):
        more = [each - base for each, base in zip(column(found, name), neither, strict=True)]
        target = Target("<=", 0.25) if name == BOTH else None
        rows.append(
            Row(name=f"{name}: more", figures=more, ratios=ratios(more, bare), target=target)
        )
    return Table(
        title="CPU a request",
        unit="CPU us",
        rows=rows,
        note="The last rows are what is added, as a part of a bare request of the same round.",
    )
