"""The page of the last run: one section a benchmark, each replaced by its next run."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import sqlite3
from collections.abc import Sequence
from pathlib import Path

from harness import Table

HEAD = """# Benchmarks: the last run

Written by `python ops/bench/run.py`; do not edit. Every ratio is to a floor measured in the same
run, round by round, in turn; the median is given, with the least and the greatest. CPU figures
are microseconds on the CPU of the server's processes, by the scheduler's account. Rates and
latencies depend on the machine and on what else it did. Ratios of CPU do so less, but on a machine
that others use (see its load, beside its cores) caches are lost at every switch, and that costs
long code more than a short floor: a GET that is 2.3 times its floor on a quiet machine was 3.2
times it at a load of 9. *nearly* is a target missed by no more than a quarter.
"""
_SECTION = re.compile(r"<!-- begin (?P<name>\w+) -->(?P<text>.*?)<!-- end (?P=name) -->", re.DOTALL)
PACKAGES = ("uvicorn", "httptools", "uvloop", "starlette", "msgspec", "aiohttp", "aiosqlite")


def machine() -> str:
    """One line on where this runs."""
    model = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    load = ", ".join(f"{each:.1f}" for each in os.getloadavg())
    return (
        f"{os.cpu_count()} cores ({model[1] if model else platform.machine()}), "
        f"load before {load}; Linux {platform.release()}, Python {platform.python_version()}"
    )


def versions() -> str:
    """One line on what this runs with."""
    found = [f"{name} {importlib.metadata.version(name)}" for name in PACKAGES]
    return ", ".join([*found, f"SQLite {sqlite3.sqlite_version}"])


def section(about: str, tables: Sequence[Table], *, told: Sequence[str]) -> str:
    """A benchmark's part of the page, without its markers."""
    facts = "\n".join(f"- {line}" for line in told)
    return "\n".join([f"## {about}", "", facts, "", *(table.text() for table in tables)])


def put(page: Path, name: str, text: str) -> None:
    """Replace the section of that name, or add it; the others stay as they are."""
    found = _SECTION.finditer(page.read_text()) if page.exists() else ()
    sections = {each["name"]: each["text"] for each in found}
    sections[name] = f"\n{text}"
    marked = (
        f"<!-- begin {name} -->{text}<!-- end {name} -->" for name, text in sorted(sections.items())
    )
    page.write_text("\n".join([HEAD, *marked]) + "\n")
