"""Run benchmarks: `python ops/bench/run.py NAME... [--rounds N] [--quick] [--all] [--check]`."""

from __future__ import annotations

import argparse
import importlib
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import results
from harness import Options, Table
from servers import HERE, NotReady, compiler_path, tail

NAMES = (
    "start",
    "messages",
    "records",
    "chat",
    "runs",
    "first_call",
    "durable",
    "memory",
    "retrieval_quality",
    "vector_search",
    "ingest",
    "sandbox",
    "watching",
    "overhead",
)


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code: 1 where `--check` was asked for and a target is missed by over a quarter."""
    asked = _parser().parse_args(arguments)
    names = NAMES if asked.all else asked.names
    if not names:
        _parser().error(f"name a benchmark ({', '.join(NAMES)}) or say --all")
    rounds = asked.rounds or (1 if asked.quick else 5)
    missed = 0
    for name in names:
        tables = _run(name, asked, rounds)
        missed += sum(row.verdict == "**missed**" for table in tables for row in table.rows)
    return 1 if asked.check and missed else 0


def _run(name: str, asked: argparse.Namespace, rounds: int) -> list[Table]:
    benchmark = importlib.import_module(name)
    told = [f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {rounds} rounds", results.machine()]
    told.append(results.versions())
    if compiler_path() is None:
        told.append("no C compiler: the model stub is the one in Python, and may be what limits")
    print(benchmark.ABOUT, file=sys.stderr)
    with tempfile.TemporaryDirectory(prefix="famulus-bench-", dir=asked.dir) as folder:
        options = Options(
            rounds=rounds, quick=asked.quick, folder=Path(folder), imports=asked.imports
        )
        try:
            tables: list[Table] = benchmark.run(options)
        except (NotReady, subprocess.CalledProcessError) as error:
            logs = "\n".join(f"{log.name}:\n{tail(log)}" for log in Path(folder).glob("*.log"))
            raise SystemExit(f"{name}: {error}\n{logs}") from error
    text = results.section(benchmark.ABOUT, tables, told=told)
    print(text)
    if not asked.quick and not asked.no_write:
        results.put(HERE / "RESULTS.md", name, text)
    return tables


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="run.py", description=__doc__)
    parser.add_argument("names", nargs="*", choices=[*NAMES, []], metavar="NAME")
    parser.add_argument("--all", action="store_true", help="every benchmark")
    parser.add_argument("--rounds", type=int, help="rounds of each (5; with --quick 1)")
    parser.add_argument("--quick", action="store_true", help="only see that it runs; not kept")
    parser.add_argument("--no-write", action="store_true", help="leave RESULTS.md as it is")
    parser.add_argument("--check", action="store_true", help="fail where a target is missed")
    parser.add_argument("--dir", help="the folder, and so the disk, to measure on")
    parser.add_argument("--imports", action="store_true", help="start: show what imports cost")
    return parser


if __name__ == "__main__":
    sys.exit(main())
