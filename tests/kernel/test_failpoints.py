"""The places at which a crash test kills the process: each is where it says, and only on demand."""

from __future__ import annotations

import ast
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from famulus import failpoints

ROOT = Path(__file__).parents[2]
SOURCES = [
    path for folder in ("kernel", "schemas", "plugins") for path in (ROOT / folder).rglob("*.py")
]
COMMAND = [sys.executable, "-m", "famulus", "keys", "create"]


def passed(source: str) -> Iterator[str]:
    """The names of the points that a source passes, as it writes them."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "failpoint":
            yield ast.literal_eval(node.args[0])


def created(data: Path, point: str) -> subprocess.CompletedProcess[str]:
    """What `famulus keys create` comes to where it is told to die at a point."""
    environment = {key: value for key, value in os.environ.items() if "FAMULUS" not in key}
    environment[failpoints.VARIABLE] = point
    return subprocess.run(
        [*COMMAND, "--data-dir", str(data)],
        cwd=data,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_every_point_of_the_list_is_passed_in_one_place_and_no_other_is() -> None:
    found = Counter(name for path in SOURCES for name in passed(path.read_text()))
    assert found == Counter(failpoints.POINTS)


def test_there_are_points_enough() -> None:
    assert len(failpoints.POINTS) >= 40


def test_the_process_is_killed_at_the_point_that_the_environment_names(tmp_path: Path) -> None:
    done = created(tmp_path, "key_add_before_commit")
    assert done.returncode == -signal.SIGKILL
    assert done.stderr == "killed at failpoint key_add_before_commit\n"
    assert done.stdout == ""


def test_the_process_lives_until_the_nth_passage(tmp_path: Path) -> None:
    assert created(tmp_path, "key_add_before_commit:2").returncode == 0


def test_the_process_passes_every_point_where_none_is_named(tmp_path: Path) -> None:
    assert created(tmp_path, "").returncode == 0


@pytest.mark.parametrize("text", ["no_such_point", "key_added:0", "key_added:often", ":2:"])
def test_what_names_no_point_stops_the_process_before_it_does_anything(
    text: str, tmp_path: Path
) -> None:
    done = created(tmp_path, text)
    assert done.returncode == 2
    assert failpoints.VARIABLE in done.stderr
    assert list(tmp_path.iterdir()) == []
