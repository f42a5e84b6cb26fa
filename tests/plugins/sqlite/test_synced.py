"""What is acknowledged was handed to the disk before, as the system's own trace tells."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


def test_every_commit_is_synced_before_it_is_acknowledged(
    another_process: Callable[..., Any], path: Path, tmp_path: Path
) -> None:
    strace = shutil.which("strace")
    if strace is None or subprocess.run([strace, "true"], capture_output=True).returncode:
        pytest.skip("NOT TESTED: syncs to disk; strace is not here or may not trace")
    trace = tmp_path / "trace"
    calls = "trace=write,fsync,fdatasync"
    process = another_process(
        "commit_one_by_one", path, strace, "-f", "-e", calls, "-o", str(trace)
    )
    process.stdout.read()
    assert process.wait() == 0
    syncs, acknowledged = 0, 0
    for line in trace.read_text().splitlines():
        if '"asked\\n"' in line:
            syncs = 0
        elif "sync(" in line:
            syncs += 1
        elif '"acknowledged\\n"' in line:
            acknowledged += 1
            assert syncs > 0
    assert acknowledged == 100
