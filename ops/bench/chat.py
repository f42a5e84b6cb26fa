"""Chat completions passed through to a model server, against a relay that does nothing else."""

from __future__ import annotations

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
    row,
    stream_tokens,
    streams,
)
from servers import Served, floor, model_stub

ABOUT = "chat: /v1/chat/completions against a bare relay (raw httptools client, same uvicorn)"
PATH = "/v1/chat/completions"
CLIENTS = (1, 32)
STREAMS = 64
RATES = (50, 200)
DELIVERED = {50: 0.95, 200: 0.85}


def run(options: Options) -> list[Table]:
    """CPU a request, and CPU a token."""
    folder = options.folder
    models = {rate: f"paced-{rate}-{stream_tokens(options, rate)}" for rate in RATES}
    with (
        model_stub(list(models.values()), folder) as stub,
        floor("relay", folder / "relay.log", UPSTREAM_PORT=str(stub.port)) as relay,
        floor("client_relay", folder / "client.log", UPSTREAM_PORT=str(stub.port)) as client,
        famulus(folder, backend=stub) as server,
    ):
        sides = {"relay": relay, "aiohttp relay": client, "Famulus": server}
        whole = sample.chat(models[RATES[0]], stream=False)
        cells: dict[str, Measure] = {}
        for clients in CLIENTS:
            for side, each in sides.items():
                cells[f"{side}, c={clients}"] = _whole(each, options, whole, clients)
        found = interleave(cells, options)
        cells = {}
        for rate, model in models.items():
            body = sample.chat(model, stream=True)
            for side, each in (("relay", relay), ("Famulus", server)):
                cells[f"{side}, {STREAMS} x {rate} tok/s"] = _streamed(each, options, body, rate)
        streamed = interleave(cells, options)
    return [_requests(found), _tokens(streamed)]


def _whole(server: Served, options: Options, body: bytes, clients: int) -> Measure:
    return lambda: load(server, options, [server.request("POST", PATH, body)], clients)


def _streamed(server: Served, options: Options, body: bytes, rate: int) -> Measure:
    request = server.request("POST", PATH, body)
    return lambda: streams(server, options, [request], connections=STREAMS, rate=rate)


def _requests(found: Rounds) -> Table:
    beside = ("per_s", "p50_ms", "p99_ms")
    rows = []
    for clients in CLIENTS:
        floor_name = f"relay, c={clients}"
        rows.append(row(found, floor_name, beside=beside))
        rows.append(row(found, f"aiohttp {floor_name}", floor=floor_name, beside=beside))
        name, target = f"Famulus, c={clients}", Target("<=", 4)
        rows.append(row(found, name, floor=floor_name, target=target, beside=beside))
    return Table(title="CPU a request, not streamed", unit="CPU us", rows=rows)


def _tokens(found: Rounds) -> Table:
    beside = ("per_s", "events_per_send", "p50_ms", "p99_ms", "cores")
    rows = []
    for rate in RATES:
        floor_name = f"relay, {STREAMS} x {rate} tok/s"
        name = f"Famulus, {STREAMS} x {rate} tok/s"
        target = Target("<=", 1.6) if rate == max(RATES) else None
        rows.append(row(found, floor_name, beside=beside))
        rows.append(row(found, name, floor=floor_name, target=target, beside=beside))
        rows.append(delivered(found, name, Target(">=", DELIVERED[rate])))
    return Table(title="CPU a token, streamed", unit="CPU us", rows=rows, note=LATENCY)


LATENCY = "p50 and p99 are from the model server's write of a token to the client's read of it."


def delivered(found: Rounds, name: str, target: Target | None) -> Row:
    """How much of what the model server offered came within the window."""
    return Row(
        name=f"{name}: delivered / offered",
        ratios=column(found, name, "delivered"),
        target=target,
    )
