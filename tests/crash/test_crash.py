"""Servers killed under load lose nothing, and the harness would notice if they did."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

RUN = Path(__file__).parents[2] / "ops" / "crash" / "run.py"
WITHIN_S = 1800
KILLS = "10"
"""At any moment, besides one at every point."""
WHOLE = os.environ.get("FAMULUS_CRASH_TESTS") == "whole"
"""Whether servers die at every point of both stores: by itself that takes twenty minutes."""
STORES = {"sqlite": "| sqlite, 1 process |", "postgres": "| postgres, 2 processes |"}

pytestmark = [
    pytest.mark.timeout(WITHIN_S + 60),
    pytest.mark.skipif(
        not os.environ.get("FAMULUS_CRASH_TESTS"),
        reason="NOT TESTED: set FAMULUS_CRASH_TESTS=1 to kill servers at every point (10 minutes), "
        "or to `whole` for every point of both stores",
    ),
]


@pytest.fixture
def disk() -> Iterator[Path]:
    """A folder on a disk, wherever other tests store things, and kept where something was found.

    In memory hardly anything is between a write and its being kept, which is where broken promises
    are caught.
    """
    folder = Path(tempfile.mkdtemp(prefix="famulus-crash-", dir="/var/tmp"))
    yield folder
    with suppress(OSError):
        folder.rmdir()


def crashed(folder: Path, store: str, *arguments: str) -> tuple[int, str, list[str]]:
    """Exit code and output of a run, and the cells of the store's row."""
    done = subprocess.run(
        [sys.executable, str(RUN), "--store", store, "--dir", str(folder), *arguments],
        capture_output=True,
        text=True,
        timeout=WITHIN_S,
    )
    if "NO POSTGRESQL" in done.stdout:
        pytest.skip("NO POSTGRESQL: set FAMULUS_TEST_POSTGRES to the dsn of a server for tests")
    rows = [line for line in done.stdout.splitlines() if line.startswith(STORES[store])]
    assert len(rows) == 1, done.stderr
    return done.returncode, done.stdout, [cell.strip() for cell in rows[0].split("|")[2:-1]]


@pytest.mark.parametrize("store", ["sqlite", "postgres"])
def test_a_server_killed_anywhere_loses_nothing_and_does_nothing_twice(
    store: str, disk: Path
) -> None:
    points_min = 60 if WHOLE else 30
    code, output, row = crashed(disk, store, "--rounds", KILLS, *([] if WHOLE else ["--shared"]))

    assert code == 0, output
    deaths, points, acknowledged, _, *findings = map(int, row[:-1])
    assert points >= points_min
    assert deaths >= points + int(KILLS)
    assert acknowledged > 1000
    assert findings == [0, 0, 0, 0, 0, 0]


@pytest.mark.parametrize(
    ("mutant", "store", "arguments"),
    [
        ("publish_first", "sqlite", ["--first", "--ways", "kill", "--rounds", "10"]),
        ("answer_first", "sqlite", ["--first", "--ways", "kill", "--rounds", "10"]),
        # Not only to the first finding: a run that is left stuck may be found before a doubled one.
        ("no_fence", "postgres", ["--ways", "freeze_one", "--rounds", "10"]),
    ],
)
def test_a_broken_promise_is_found(
    mutant: str, store: str, arguments: list[str], disk: Path
) -> None:
    code, output, _ = crashed(disk, store, "--mutant", mutant, "--no-points", *arguments)

    assert code == 1
    assert "\nlost: " in output or "\ndoubled: " in output
    shutil.rmtree(disk)


def test_a_point_that_is_not_reached_is_found(disk: Path) -> None:
    never = ["--points", "thread_created:1000000", "--reach-s", "1"]
    code, output, _ = crashed(disk, "sqlite", "--rounds", "0", *never)

    assert code == 1
    assert "\nunreached: thread_created:1000000" in output
    shutil.rmtree(disk)
