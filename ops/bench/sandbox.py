"""Boxes for code: how soon there is one, what a cell costs, and what a hostile one costs others."""

from __future__ import annotations

import asyncio
import os
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
from famulus_server import famulus
from harness import Figures, Measure, Options, Row, Table, Target, column, interleave, load, row
from servers import Served

from famulus.testing.kit import quiet_log
from famulus_boxes.environment import Environment, find_environment
from famulus_boxes.keeper import Keeper
from famulus_bubblewrap.settings import BubblewrapSettings
from famulus_bubblewrap.wall import BubblewrapWall
from famulus_schemas.sandbox import Box, BoxGone, CellLimits

ABOUT = "sandbox: boxes by bubblewrap"
DATA = "BENCH_SANDBOX"
"""A data folder in which `famulus sandbox install` was run; without it there are no packages."""

STARTS, CELLS, AT_ONCE = 10, 300, 8
PYTHON, BOX, WARM = "bare python -I -S", "box, opened", "box, taken warm"
PACKED = "packages imported"
ECHO, CELL = "a line through a bare Python", "cell"
ALONE = "GET, no box"
HOSTILE = {
    "GET beside a box that spins": "while True: pass",
    "GET beside a box that forks and spins": (
        "import os\nwhile True:\n    try:\n        os.fork()\n    except OSError:\n        pass"
    ),
    "GET beside a box that writes": "import os\nwhile True:\n    os.write(1, b'x' * 65_536)",
    "GET beside a box that takes memory": (
        "while True:\n    try:\n        a = bytearray(b'x' * 150_000_000)\n"
        "    except MemoryError:\n        pass"
    ),
}
ECHO_LOOP = "import sys\nfor line in sys.stdin: print(line, end='', flush=True)"


def run(options: Options) -> list[Table]:
    """Milliseconds, but for memory."""
    data = Path(os.environ.get(DATA, options.folder))
    environment = find_environment(data)
    starts = _table_of_starts(environment, options)
    with famulus(options.folder) as server:
        beside = _table_of_others(environment, server, options)
    return [starts, _table_of_memory(environment, options), beside]


@asynccontextmanager
async def _keeper(
    environment: Environment, options: Options, **settings: Any
) -> AsyncIterator[Keeper]:
    given = msgspec.convert({"warm": 0, **settings}, BubblewrapSettings)
    wall = BubblewrapWall(given, environment)
    made = iter(range(10**9))
    keeper = Keeper(
        wall,
        given,
        environment,
        folder=options.folder,
        make_id=lambda prefix: f"{prefix}_{next(made)}",
        log=quiet_log(),
    )
    async with keeper.running():
        if (probe := await keeper.probe()).level == "none":
            raise SystemExit("; ".join(probe.reasons))
        yield keeper


async def _all(box: Box, code: str, **limits: Any) -> None:
    async for _ in box.run(code, limits=CellLimits(**limits)):
        pass


async def _timed(work: Callable[[], Awaitable[object]]) -> float:
    begun = time.perf_counter()
    await work()
    return (time.perf_counter() - begun) * 1e3


def _spread(times: list[float]) -> Figures:
    ordered = sorted(times)
    return {"ms": statistics.median(times), "p95_ms": ordered[int(len(ordered) * 0.95)]}


# -- starts and cells -------------------------------------------------------------------------


def _table_of_starts(environment: Environment, options: Options) -> Table:
    starts, cells = (2, 20) if options.quick else (STARTS, CELLS)
    measures: dict[str, Measure] = {
        PYTHON: lambda: _bare(environment, starts),
        BOX: lambda: asyncio.run(_opened(environment, options, starts)),
        WARM: lambda: asyncio.run(_warm(environment, options, min(3, starts))),
        f"{AT_ONCE} boxes opened at once": lambda: asyncio.run(_at_once(environment, options)),
        ECHO: lambda: _echoed(environment, cells),
        CELL: lambda: asyncio.run(_cells(environment, options, cells)),
    }
    if environment.packages:
        measures[PACKED] = lambda: asyncio.run(_packed(environment, options))
    found = interleave(measures, options)
    beside = ("p95_ms",)
    rows = [
        row(found, PYTHON, figure="ms", beside=beside),
        row(found, BOX, floor=PYTHON, figure="ms", beside=beside),
        _absolute(found, BOX, "p95_ms", 300),
        row(found, WARM, floor=PYTHON, figure="ms", beside=beside),
        _absolute(found, WARM, "p95_ms", 20),
        row(found, f"{AT_ONCE} boxes opened at once", floor=PYTHON, figure="ms"),
        row(found, ECHO, figure="ms", beside=beside),
        row(found, CELL, floor=ECHO, figure="ms", beside=beside),
    ]
    if environment.packages:
        rows.append(row(found, PACKED, floor=PYTHON, figure="ms"))
    return Table(title="Until there is a box, and a cell in one", unit="ms", rows=rows)


def _absolute(found: Any, name: str, figure: str, most_ms: float) -> Row:
    over = [each / most_ms for each in column(found, name, figure)]
    return Row(name=f"{name}: p95 of {most_ms:g} ms", ratios=over, target=Target("<=", 1.0))


def _bare(environment: Environment, count: int) -> Figures:
    times = []
    for _ in range(count):
        begun = time.perf_counter()
        subprocess.run([environment.python, "-I", "-S", "-c", "pass"], check=True)
        times.append((time.perf_counter() - begun) * 1e3)
    return _spread(times)


async def _opened(environment: Environment, options: Options, count: int) -> Figures:
    async with _keeper(environment, options, preload=[]) as keeper:
        times = []
        for number in range(count):
            times.append(await _timed(lambda n=number: keeper.open(f"{n}", project="p")))
            found = keeper.find(f"{number}", project="p")
            assert found is not None
            await found.close()
    return _spread(times)


async def _warm(environment: Environment, options: Options, count: int) -> Figures:
    async with _keeper(environment, options, warm=1) as keeper:
        times = []
        for number in range(count):
            while not [each for each in keeper.boxes if not each.session]:
                await asyncio.sleep(0.02)
            times.append(await _timed(lambda n=number: keeper.open(f"{n}", project="p")))
    return _spread(times)


async def _at_once(environment: Environment, options: Options) -> Figures:
    async with _keeper(environment, options, preload=[]) as keeper:
        names = [str(number) for number in range(AT_ONCE)]
        return {
            "ms": await _timed(
                lambda: asyncio.gather(*(keeper.open(each, project="p") for each in names))
            )
        }


def _echoed(environment: Environment, count: int) -> Figures:
    times = []
    command = [environment.python, "-I", "-S", "-c", ECHO_LOOP]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for _ in range(count):
            begun = time.perf_counter()
            process.stdin.write(b"1 + 1\n")
            process.stdin.flush()
            process.stdout.readline()
            times.append((time.perf_counter() - begun) * 1e3)
        process.stdin.close()
    return _spread(times)


async def _cells(environment: Environment, options: Options, count: int) -> Figures:
    async with _keeper(environment, options, preload=[]) as keeper:
        box = await keeper.open("s", project="p")
        return _spread([await _timed(lambda: _all(box, "1 + 1")) for _ in range(count)])


async def _packed(environment: Environment, options: Options) -> Figures:
    async with _keeper(environment, options, preload=[]) as keeper:
        box = await keeper.open("s", project="p")
        code = "import numpy, pandas, matplotlib.pyplot"
        return {"ms": await _timed(lambda: _all(box, code))}


# -- memory -------------------------------------------------------------------------------------


def _table_of_memory(environment: Environment, options: Options) -> Table:
    kinds = {"box, empty": []}
    if environment.packages:
        kinds["box, packages imported"] = ["numpy", "pandas", "matplotlib.pyplot"]
    found = interleave(
        {name: _memory(environment, options, preload) for name, preload in kinds.items()}, options
    )
    rows = [row(found, name, floor="box, empty", figure="mb") for name in kinds]
    return Table(title=f"Memory of a box (PSS, {AT_ONCE} open)", unit="MB", rows=rows)


def _memory(environment: Environment, options: Options, preload: list[str]) -> Measure:
    async def measured() -> Figures:
        count = 2 if options.quick else AT_ONCE
        async with _keeper(environment, options, preload=preload, boxes_max=AT_ONCE) as keeper:
            for number in range(count):
                await keeper.open(f"{number}", project="p")
            # Below no limit, it is what each one has that is added up; above, shares.
            narrow = msgspec.structs.replace(keeper.boxes[0].limits, memory_bytes=1)
            taken = [box.usage(narrow).memory_bytes for box in keeper.boxes]
        return {"mb": statistics.mean(taken) / 1e6}

    return lambda: asyncio.run(measured())


# -- others -------------------------------------------------------------------------------------


def _table_of_others(environment: Environment, server: Served, options: Options) -> Table:
    request = [server.request("GET", "/v1/assistants")]

    def beside(code: str | None) -> Measure:
        async def measured() -> Figures:
            async with _keeper(environment, options, preload=[], tasks_max=32) as keeper:
                running = None
                if code is not None:
                    box = await keeper.open("s", project="p")
                    running = asyncio.create_task(_hostile(box, code))
                    await asyncio.sleep(0.2)
                figures = await asyncio.to_thread(load, server, options, request, 1)
                if running is not None:
                    running.cancel()
                    await asyncio.gather(running, return_exceptions=True)
            return figures

        return lambda: asyncio.run(measured())

    measures = {ALONE: beside(None)} | {name: beside(code) for name, code in HOSTILE.items()}
    found = interleave(measures, options)
    shown = ("p50_ms", "per_s")
    rows = [row(found, ALONE, figure="p99_ms", beside=shown)]
    for name in HOSTILE:
        target = Target("<=", 2.0)
        rows.append(row(found, name, floor=ALONE, figure="p99_ms", target=target, beside=shown))
    return Table(
        title="What a hostile box does to others' requests (p99)",
        unit="ms",
        rows=rows,
        note="One box beside one client that asks without a pause, on a machine of "
        f"{os.cpu_count()} cores; its time and output are not cut as they would be.",
    )


async def _hostile(box: Box, code: str) -> None:
    try:
        await _all(box, code, wall_s=60, flood_bytes=10**12)
    except BoxGone as error:
        print(f"  the box ended: {error.message}", file=sys.stderr)
