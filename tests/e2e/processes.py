"""What a server's processes cost, as /proc tells. Linux only."""

from __future__ import annotations

import os
import re
from pathlib import Path


def tree(pid: int) -> list[int]:
    """The process and all below it, as they are now."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            children.setdefault(_parent(entry), []).append(int(entry.name))
    found = [pid]
    for each in found:
        found += children.get(each, [])
    return found


def cpu_s(pid: int) -> float:
    """Seconds on the CPU, in user and system mode, of a tree of processes since it began."""
    ticks = sum(sum(_ticks(each)) for each in tree(pid))
    return ticks / os.sysconf("SC_CLK_TCK")


def pss_bytes(pid: int) -> int:
    """Memory of a tree of processes, each shared page counted as the share that is theirs."""
    rollups = [Path("/proc", str(each), "smaps_rollup").read_text() for each in tree(pid)]
    kilobytes = [int(re.findall(r"^Pss:\s+(\d+) kB", text, re.MULTILINE)[0]) for text in rollups]
    return 1024 * sum(kilobytes)


def _ticks(pid: int) -> list[int]:
    """Its own time and that of its ended children: user, system, user, system."""
    return [int(each) for each in _stat(Path("/proc", str(pid)))[11:15]]


def _parent(entry: Path) -> int:
    try:
        return int(_stat(entry)[1])
    except OSError:
        return 0


def _stat(entry: Path) -> list[str]:
    """The fields after the command's name, which may hold anything: state, parent, ..."""
    return (entry / "stat").read_text().rpartition(")")[2].split()
