"""Whole runs, one after the other: thread, message, run, answer and end, all of it durable."""

from __future__ import annotations

import json
import tempfile

import msgspec
import sample
from famulus_server import famulus
from harness import (
    Figures,
    Measure,
    Options,
    Rounds,
    Row,
    Table,
    Target,
    child,
    column,
    interleave,
    load,
    ratios,
    row,
)
from servers import Served, floor, model_stub
from storage import Plan

ABOUT = "durable: whole runs a second, each with a thread of its own (SQLite FULL, everything on)"
MODEL = "paced-1000-1"
CLIENTS = 64
ROWS_A_RUN = 9
"""The least that a run must write: its thread, the message and itself; that it began; a step and
its message; and the ends of all three."""
PER_S_MIN = 100.0

RELAY = f"relay of the same answer, c={CLIENTS}"
RAW_ROW = f"a row of a plain sqlite3 loop, {CLIENTS} a commit"
FLOOR = f"floor of a run: the relay, and {ROWS_A_RUN} rows"
RUNS = f"runs, c={CLIENTS}"
RUNS_1 = "runs, c=1"


def run(options: Options) -> list[Table]:
    """CPU a run, and runs a second."""
    folder = options.folder
    with (
        model_stub([MODEL], folder) as stub,
        floor("relay", folder / "relay.log", UPSTREAM_PORT=str(stub.port)) as relay,
        famulus(folder, backend=stub) as server,
    ):
        chat = relay.request("POST", "/v1/chat/completions", sample.chat(MODEL, stream=True))
        new_run = _new_run(server)
        cells: dict[str, Measure] = {
            RELAY: lambda: load(relay, options, [chat], CLIENTS),
            RAW_ROW: lambda: _raw_row(options),
            RUNS: lambda: load(server, options, [new_run], CLIENTS),
            RUNS_1: lambda: load(server, options, [new_run], 1),
        }
        found = interleave(cells, options)
    return [_table(found)]


def _new_run(server: Served) -> str:
    assistant = server.ask("POST", "/v1/assistants", json.dumps({"model": MODEL}).encode())
    body = {
        "assistant_id": json.loads(assistant)["id"],
        "thread": {"messages": [{"role": "user", "content": sample.TEXT}]},
        "stream": True,
    }
    return server.request("POST", "/v1/threads/runs", json.dumps(body).encode())


def _raw_row(options: Options) -> Figures:
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        plan = Plan(
            way="raw",
            clients=CLIENTS,
            warm_s=options.seconds(0.2),
            window_s=options.seconds(1.0),
            folder=folder,
            body=sample.MESSAGE,
        )
        return child("storage.py", stdin=msgspec.json.encode(plan))


def _table(found: Rounds) -> Table:
    beside = ("per_s", "p50_ms", "p99_ms")
    rows_of = [each * ROWS_A_RUN for each in column(found, RAW_ROW)]
    least = [a + b for a, b in zip(column(found, RELAY), rows_of, strict=True)]
    lines = [row(found, RELAY, beside=beside), row(found, RAW_ROW, floor=RELAY, beside=beside)]
    lines.append(Row(name=FLOOR, figures=least, ratios=ratios(least, least)))
    for name in (RUNS, RUNS_1):
        line = row(found, name, beside=beside)
        over = ratios(column(found, name), least)
        lines.append(msgspec.structs.replace(line, ratios=over))
    promised = [each / PER_S_MIN for each in column(found, RUNS, "per_s")]
    title = f"{RUNS}: runs a second, of {PER_S_MIN:g}"
    lines.append(Row(name=title, ratios=promised, target=Target(">=", 1)))
    return Table(
        title="CPU a run",
        unit="CPU us",
        rows=lines,
        note="A run counts once its stream has ended: all of it is on disk by then. At c=1 every "
        "commit is synced alone, and the model's clock ticks once a millisecond.",
    )
