"""What the first process of every box does before any code is near: done once, and not undone.

Imported by launchers, which are programs of their own: the standard library alone.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

FIRST = 3
"""Descriptors of a box from here on; those below are its streams."""


def give_way(nice: int) -> None:
    """Be what the kernel kills first where memory is short, and runs last where the CPU is."""
    with open("/proc/self/oom_score_adj", "w", encoding="ascii") as file:
        file.write("1000")
    os.nice(nice)


def become(uid: int) -> None:
    """Be somebody who owns nothing, so that no file lets a box in for its owner's sake."""
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)


def hold_only(descriptors: Sequence[int], *, close: bool = True) -> None:
    """Have these, from `FIRST` on, and the three streams; no others."""
    # Out of the way first: one of them may have the number that another is to get.
    away = max(*descriptors, FIRST + len(descriptors)) + 1
    moved = [os.dup2(each, away + at) for at, each in enumerate(descriptors)]
    for at, each in enumerate(moved):
        os.dup2(each, FIRST + at, inheritable=True)
    if close:
        os.closerange(FIRST + len(moved), os.sysconf("SC_OPEN_MAX"))
