"""Runs, streamed: what a token costs on its way through an assistant's run to its listener."""

from __future__ import annotations

import json

import sample
from chat import DELIVERED, LATENCY, STREAMS, delivered
from chat import RATES as RATES_OF_CHAT
from famulus_server import famulus
from harness import (
    Measure,
    Options,
    Rounds,
    Table,
    Target,
    interleave,
    row,
    stream_tokens,
    streams,
)
from servers import Served, floor, model_stub

ABOUT = "runs: deltas of streamed runs against a bare relay of the same model stream"

SATURATED = 1000
"""Tokens a second and stream that are more than a server on one core can pass on."""
RATES = (*RATES_OF_CHAT, SATURATED)
TARGETS = {200: Target("<=", 1.6), SATURATED: Target("<=", 3.0)}


def run(options: Options) -> list[Table]:
    """CPU a token."""
    folder = options.folder
    models = {rate: f"paced-{rate}-{stream_tokens(options, rate)}" for rate in RATES}
    with (
        model_stub(list(models.values()), folder) as stub,
        floor("relay", folder / "relay.log", UPSTREAM_PORT=str(stub.port)) as relay,
        famulus(folder, backend=stub) as server,
    ):
        assistant = _assistant(server, models[RATES[0]])
        cells: dict[str, Measure] = {}
        for rate, model in models.items():
            cells[f"relay, {STREAMS} x {rate} tok/s"] = _relayed(relay, options, model, rate)
            cells[f"runs, {STREAMS} x {rate} tok/s"] = _run(server, options, assistant, model, rate)
        found = interleave(cells, options)
    return [_table(found)]


def _assistant(server: Served, model: str) -> str:
    body = {"model": model, "instructions": "You answer in plain sentences."}
    answer = server.ask("POST", "/v1/assistants", json.dumps(body).encode())
    assistant: str = json.loads(answer)["id"]
    return assistant


def _relayed(relay: Served, options: Options, model: str, rate: int) -> Measure:
    body = sample.chat(model, stream=True)
    request = relay.request("POST", "/v1/chat/completions", body)
    return lambda: streams(relay, options, [request], connections=STREAMS, rate=rate)


def _run(server: Served, options: Options, assistant: str, model: str, rate: int) -> Measure:
    body = {
        "assistant_id": assistant,
        "model": model,
        "thread": {"messages": [{"role": "user", "content": sample.TEXT}]},
        "stream": True,
    }
    request = server.request("POST", "/v1/threads/runs", json.dumps(body).encode())
    return lambda: streams(server, options, [request], connections=STREAMS, rate=rate)


def _table(found: Rounds) -> Table:
    beside = ("per_s", "tokens_per_event", "events_per_send", "p50_ms", "p99_ms", "cores", "ended")
    rows = []
    for rate in RATES:
        floor_name, name = f"relay, {STREAMS} x {rate} tok/s", f"runs, {STREAMS} x {rate} tok/s"
        rows.append(row(found, floor_name, beside=beside))
        rows.append(row(found, name, floor=floor_name, target=TARGETS.get(rate), beside=beside))
        least = DELIVERED.get(rate)
        rows.append(delivered(found, name, Target(">=", least) if least else None))
    return Table(
        title="CPU a token of a run",
        unit="CPU us",
        rows=rows,
        note=f"{LATENCY} `ended` counts the streams that came to their end afterwards.",
    )
