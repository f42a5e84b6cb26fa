"""What a start costs: CPU and memory until ready, and after the first requests."""

from __future__ import annotations

import itertools
import json
import re
import statistics
import time
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import sample
from famulus_server import famulus
from harness import Figures, Options, Rounds, Row, Table, Target, column, interleave, ratios
from servers import Served, cpu_s, floor, model_stub, pss_bytes

ABOUT = "start: `famulus serve --host --port --data-dir --backend`, until ready and ten requests on"
MODEL = "paced-1000-20"
CPU_S_MAX, PSS_MB_MAX = 1.5, 100.0
PACKAGES_SHOWN = 25

BARE = "bare ASGI on uvicorn"
FAMULUS = "Famulus"

_IMPORT = re.compile(r"^import time:\s+(\d+) \|\s+\d+ \|\s*(\S+)$", re.MULTILINE)


def run(options: Options) -> list[Table]:
    """Seconds and bytes, against a bare server's and against what was promised."""
    folder = options.folder
    with model_stub([MODEL], folder) as stub:
        if options.imports:
            _show_imports(folder, stub)
        numbers = itertools.count()

        def fresh() -> Path:
            path = folder / f"start-{next(numbers)}"
            path.mkdir()
            return path

        found = interleave(
            {
                BARE: lambda: _start(floor("whole", fresh() / "floor.log"), _ask_bare),
                FAMULUS: lambda: _start(famulus(fresh(), backend=stub), _ask_famulus),
            },
            options,
        )
    return [
        _table(found, "CPU, the whole process", "CPU s", "cpu_s", "s", CPU_S_MAX),
        _table(found, "Memory (PSS)", "MB", "pss_mb", "MB", PSS_MB_MAX),
    ]


def _start(server: AbstractContextManager[Served], ask: Callable[[Served], None]) -> Figures:
    begun = time.perf_counter()
    with server as served:
        figures = {"ready_s": time.perf_counter() - begun, **_figures(served, "ready")}
        ask(served)
        return {**figures, **_figures(served, "asked")}


def _figures(served: Served, when: str) -> Figures:
    pids = served.pids
    return {f"cpu_s {when}": cpu_s(pids), f"pss_mb {when}": pss_bytes(pids) / 1e6}


def _ask_bare(served: Served) -> None:
    for _ in range(10):
        served.ask("GET", "/")


def _ask_famulus(served: Served) -> None:
    """Ten requests that touch what most clients touch."""
    body = json.dumps({"model": MODEL}).encode()
    assistant = json.loads(served.ask("POST", "/v1/assistants", body))["id"]
    thread = json.loads(served.ask("POST", "/v1/threads", b"{}"))["id"]
    messages = f"/v1/threads/{thread}/messages"
    message = json.loads(served.ask("POST", messages, sample.CREATE_MESSAGE))["id"]
    served.ask("GET", f"{messages}/{message}")
    served.ask("GET", messages)
    served.ask("GET", "/v1/models")
    served.ask("POST", "/v1/chat/completions", sample.chat(MODEL, stream=False))
    served.ask("POST", "/v1/chat/completions", sample.chat(MODEL, stream=True))
    run_of = json.dumps({"assistant_id": assistant, "stream": True}).encode()
    answer = served.ask("POST", f"/v1/threads/{thread}/runs", run_of)
    if b"thread.run.completed" not in answer:
        raise AssertionError(f"the run did not complete: {answer[-500:]!r}")
    served.ask("GET", f"/v1/threads/{thread}/runs")


def _table(found: Rounds, title: str, unit: str, figure: str, word: str, limit: float) -> Table:
    rows = []
    for when, told in (("ready", "ready"), ("asked", "ready and ten requests on")):
        bare, ours = (column(found, name, f"{figure} {when}") for name in (BARE, FAMULUS))
        promised = [each / limit for each in ours]
        ready = {"s to ready": statistics.median(column(found, FAMULUS, "ready_s"))}
        rows += [
            Row(name=f"{BARE}, {told}", figures=bare, ratios=ratios(bare, bare)),
            Row(name=f"{FAMULUS}, {told}", figures=ours, ratios=ratios(ours, bare), beside=ready),
            Row(name=f"of {limit:g} {word}", ratios=promised, target=Target("<=", 1)),
        ]
    return Table(title=title, unit=unit, rows=rows)


def _show_imports(folder: Path, stub: Served) -> None:
    """What importing costs, by package, in milliseconds of the importing thread."""
    profiled = folder / "imports"
    profiled.mkdir()
    with famulus(profiled, backend=stub, environment={"PYTHONPROFILEIMPORTTIME": "1"}) as served:
        _ask_famulus(served)
    spent: Counter[str] = Counter()
    modules: Counter[str] = Counter()
    for micros, module in _IMPORT.findall((profiled / "famulus.log").read_text()):
        package = module.partition(".")[0]
        spent[package] += int(micros)
        modules[package] += 1
    print(f"imports: {spent.total() / 1e3:.0f} ms, {modules.total()} modules; by package:")
    for package, micros in spent.most_common(PACKAGES_SHOWN):
        print(f"  {micros / 1e3:7.1f} ms  {modules[package]:4d} modules  {package}")
