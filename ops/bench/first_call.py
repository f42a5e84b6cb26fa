"""From a run's creation to its model's being asked: what a client waits before the model does."""

from __future__ import annotations

import http.client
import itertools
import json
import statistics
import threading
import time
from collections.abc import Callable

from famulus_server import famulus
from harness import Figures, Options, Rounds, Row, Table, Target, column, interleave, ratios
from noting_model import MODEL, NotingModel, mark, noting_model
from servers import HOST, Served, cpu_s, floor

ABOUT = "first_call: from the creation of a run to the first call of its model, embedded (SQLite)"
CLIENTS = (1, 8)
WARM, ASKED = 10, 150
WARM_QUICK, ASKED_QUICK = 2, 10
P95_MS_MAX = 50.0

Ask = Callable[[str], bytes]
"""The body that asks a question."""


def run(options: Options) -> list[Table]:
    """Milliseconds."""
    folder, numbers = options.folder, itertools.count(1)
    with (
        noting_model() as model,
        floor("relay", folder / "relay.log", UPSTREAM_PORT=str(model.port)) as relay,
        famulus(folder, backend=model) as server,
    ):
        assistant = json.loads(server.ask("POST", "/v1/assistants", _json({"model": MODEL})))["id"]

        def chat(text: str) -> bytes:
            return _json({"model": MODEL, "messages": [_user(text)], "stream": True})

        def new_run(text: str) -> bytes:
            thread = {"messages": [_user(text)]}
            return _json({"assistant_id": assistant, "thread": thread, "stream": True})

        def measure(served: Served, path: str, ask: Ask, clients: int) -> Callable[[], Figures]:
            return lambda: _measured(served, model, path, ask, clients, numbers, options)

        cells = {}
        for clients in CLIENTS:
            path = "/v1/chat/completions"
            cells[f"relay, c={clients}"] = measure(relay, path, chat, clients)
            cells[f"runs, c={clients}"] = measure(server, "/v1/threads/runs", new_run, clients)
        found = interleave(cells, options)
    return [_table(found)]


def _json(body: object) -> bytes:
    # As short as clients send it; the relay looks for the very text.
    return json.dumps(body, separators=(",", ":")).encode()


def _user(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


def _measured(
    served: Served,
    model: NotingModel,
    path: str,
    ask: Ask,
    clients: int,
    numbers: itertools.count[int],
    options: Options,
) -> Figures:
    """So many clients ask in turn, each waiting for its answer to end."""
    warm, asked = (WARM_QUICK, ASKED_QUICK) if options.quick else (WARM, ASKED)
    for _ in range(warm):
        _late_s(served, model, path, ask, next(numbers))
    late: list[float] = []

    def client() -> None:
        late.extend(
            _late_s(served, model, path, ask, next(numbers)) for _ in range(asked // clients)
        )

    threads = [threading.Thread(target=client) for _ in range(clients)]
    cpu, begun = cpu_s(served.pids), time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds = time.perf_counter() - begun
    cuts = statistics.quantiles(late, n=20)
    return {
        "p50_ms": statistics.median(late) * 1e3,
        "p95_ms": cuts[18] * 1e3,
        "cpu_us": (cpu_s(served.pids) - cpu) * 1e6 / len(late),
        "per_s": len(late) / seconds,
    }


def _late_s(served: Served, model: NotingModel, path: str, ask: Ask, number: int) -> float:
    connection = http.client.HTTPConnection(HOST, served.port)
    connection.connect()
    body = ask(mark(number))
    headers = {**served.headers, "content-type": "application/json"}
    begun = time.perf_counter()
    connection.request("POST", path, body, headers)
    with connection.getresponse() as response:
        answer = response.read()
    connection.close()
    if b"[DONE]" not in answer:
        raise AssertionError(f"{path} did not end: {answer[-500:]!r}")
    return model.asked_at.pop(number) - begun


def _table(found: Rounds) -> Table:
    rows = []
    for clients in CLIENTS:
        bare, name = f"relay, c={clients}", f"runs, c={clients}"
        for figure in ("p50_ms", "p95_ms"):
            word = figure.removesuffix("_ms")
            floor_of, ours = column(found, bare, figure), column(found, name, figure)
            beside = {
                each: statistics.median(column(found, name, each)) for each in ("cpu_us", "per_s")
            }
            rows.append(Row(name=f"{bare}, {word}", figures=floor_of, ratios=ratios(ours, ours)))
            rows.append(
                Row(
                    name=f"{name}, {word}",
                    figures=ours,
                    ratios=ratios(ours, floor_of),
                    beside=beside,
                )
            )
        promised = [each / P95_MS_MAX for each in column(found, name, "p95_ms")]
        title = f"{name}, p95 of {P95_MS_MAX:g} ms"
        rows.append(Row(name=title, ratios=promised, target=Target("<=", 1)))
    return Table(
        title="From the request to the model's being asked",
        unit="ms",
        rows=rows,
        note="The floor passes one request on, and stores nothing. The time ends where the model's "
        "server has read the head of the question.",
    )
