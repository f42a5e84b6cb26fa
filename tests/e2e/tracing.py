"""A server under strace: what it asks of the system, in the order in which it asks."""

from __future__ import annotations

import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

END_S = 30.0
_LINE = re.compile(r"^(?P<pid>\d+)\s+(?P<what>.*)$")
_RESUMED = re.compile(r"^<\.\.\. (?P<name>\w+) resumed>(?P<rest>.*)$")


@dataclass(frozen=True)
class SystemCall:
    """One call: when it was begun, in lines of the trace, and when it had returned."""

    name: str
    text: str
    """Arguments and result, as strace writes them."""
    begun: int
    done: int


def under_strace(trace: Path, calls: str, *options: str) -> list[str]:
    """What runs a command traced, in the very process that is started. Skips without strace."""
    strace = shutil.which("strace")
    if strace is None or subprocess.run([strace, "-f", "true"], capture_output=True).returncode:
        pytest.skip("NOT TESTED: strace is not installed, or may not trace here")
    return [strace, "-D", "-f", *options, "-e", f"trace={calls}", "-o", str(trace)]


def ended(trace: Path) -> Path:
    """The trace, once the traced process has ended and all of it is written."""
    give_up = time.monotonic() + END_S
    while True:
        lines = trace.read_text(errors="replace").splitlines()
        first = lines[0].split()[0]
        if any(re.match(rf"{first}\s+\+\+\+ ", line) for line in lines[-50:]):
            return trace
        assert time.monotonic() < give_up, lines[-5:]
        time.sleep(0.05)


def system_calls(trace: Path) -> Iterator[SystemCall]:
    """Every call, in the order in which they returned; one that never did is left out."""
    open_calls: dict[str, tuple[str, int]] = {}
    for number, line in enumerate(trace.read_text(errors="replace").splitlines()):
        found = _LINE.match(line)
        if found is None:
            continue
        pid, what = found["pid"], found["what"]
        if what.endswith("<unfinished ...>"):
            open_calls[pid] = (what.removesuffix("<unfinished ...>"), number)
            continue
        begun = number
        if resumed := _RESUMED.match(what):
            start, begun = open_calls.pop(pid)
            what = start + resumed["rest"]
        name, bracket, text = what.partition("(")
        if bracket and name.isidentifier():
            yield SystemCall(name=name, text=text, begun=begun, done=number)
