"""The benchmarks run and print their rows; what they measure is nobody's assertion."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

RUN = Path(__file__).parents[2] / "ops" / "bench" / "run.py"
PAGE = RUN.with_name("RESULTS.md")

ROWS = {
    "start": ["bare ASGI on uvicorn, ready", "Famulus, ready and ten requests on"],
    "messages": ["bare ASGI GET, c=32", "Famulus GET message, c=32", "Famulus POST message, c=64"],
    "records": ["raw sqlite3 loop, 64 rows a commit", "SQLite store, 64 clients, insert"],
    "chat": ["relay, c=32", "Famulus, c=32", "Famulus, 64 x 50 tok/s"],
    "runs": [
        "relay, 64 x 50 tok/s",
        "runs, 64 x 50 tok/s",
        "runs, 64 x 200 tok/s",
        "runs, 64 x 1000 tok/s",
    ],
    "first_call": ["relay, c=1, p50", "runs, c=1, p50", "runs, c=8, p95"],
    "durable": ["relay of the same answer, c=64", "runs, c=64", "runs, c=1"],
    "memory": ["relay, a stream", "runs, a stream"],
    "retrieval_quality": [
        "words (BM25)",
        "famulus-lexical-1, vectors",
        "famulus-lexical-1, both",
        "famulus-lexical-1, as stores rank",
    ],
    "vector_search": ["exact, through the port", "graph, through the port: recall@10"],
    "ingest": [
        "embedding the same chunks alone",
        "uploaded, extracted, embedded, committed",
    ],
    "watching": [
        "bare ASGI GET, c=32",
        "with metrics: more",
        "with both, as it is by default: more",
    ],
    "overhead": [
        "bare ASGI request, c=32",
        "none of them: models",
        "together: assistant: more",
        "authentication: more",
    ],
}


@pytest.mark.parametrize("name", ROWS)
def test_a_benchmark_prints_every_row_with_its_ratio(name: str, tmp_path: Path) -> None:
    before = PAGE.read_bytes() if PAGE.exists() else None

    done = subprocess.run(
        [sys.executable, str(RUN), name, "--quick", "--dir", str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=240,
    )

    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    for row in ROWS[name]:
        found = [line for line in lines if line.startswith(f"| {row} ")]
        assert found, row
        figure, ratio = (cell.strip() for cell in found[0].split("|")[2:4])
        assert ".." in figure, row
        assert ".." in ratio, row
    assert (PAGE.read_bytes() if PAGE.exists() else None) == before, "a quick run is not kept"


def test_a_benchmark_that_does_not_exist_is_refused_by_name() -> None:
    done = subprocess.run([sys.executable, str(RUN), "nothing"], capture_output=True, text=True)

    assert done.returncode == 2
    assert "nothing" in done.stderr
