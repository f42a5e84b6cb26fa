"""The first process of a box: becomes nobody, gives away what it inherited, and starts bubblewrap.

Run by a Python of its own with the standard library alone, as `launch.py DESCRIPTOR`, which holds
the plan as JSON. Nothing here may be done in the server's own process: it has threads.
"""

from __future__ import annotations

import ctypes
import json
import os
import sys
from typing import Any

_NEW_MOUNTS = 0x20000
_BIND, _RECURSIVE, _PRIVATE = 0x1000, 0x4000, 0x40000

REQUESTS, REPLIES, SECCOMP, ARGUMENTS = 3, 4, 5, 6
"""Descriptors from here on; the last two are bubblewrap's, which closes them."""


def main(descriptor: int) -> None:
    with open(descriptor, encoding="utf-8") as file:
        plan = json.load(file)
    last_in_line()
    os.nice(plan["nice"])
    if plan["uid"] is not None:
        for source, target in plan["shown"]:
            show(source, target, first=(source, target) == tuple(plan["shown"][0]))
        become(plan["uid"])
    hold_only(plan)
    words = ["bwrap", "--args", str(ARGUMENTS), "--", *plan["run"]]
    # Without a variable: bubblewrap is the first process in the box, and may be looked at there.
    os.execve(plan["command"], words, {})  # noqa: S606


def last_in_line() -> None:
    """Be what the kernel kills first where memory is short."""
    with open("/proc/self/oom_score_adj", "w", encoding="ascii") as file:
        file.write("1000")


def become(uid: int) -> None:
    """Be somebody who owns nothing, so that no file lets a box in for its owner's sake."""
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)


def show(source: str, target: str, *, first: bool) -> None:
    """Put a folder where anybody can reach it, in mounts that nobody else sees."""
    libc = ctypes.CDLL(None, use_errno=True)

    def call(name: str, *arguments: Any) -> None:
        if getattr(libc, name)(*arguments) != 0:
            raise OSError(ctypes.get_errno(), f"{name}: {os.strerror(ctypes.get_errno())}")

    if first:
        call("unshare", _NEW_MOUNTS)
        call("mount", b"none", b"/", None, _RECURSIVE | _PRIVATE, None)
        folder = os.path.dirname(target).encode()
        call("mount", b"famulus", folder, b"tmpfs", 0, b"size=64k,mode=755")
    os.mkdir(target)
    call("mount", source.encode(), target.encode(), None, _BIND | _RECURSIVE, None)


def hold_only(plan: dict[str, Any]) -> None:
    """Have the four descriptors and the three streams, and no others."""
    wanted = [plan["requests"], plan["replies"], plan["seccomp"], plan["arguments"]]
    # Out of the way first: one of them may have the number that another is to get.
    moved = [os.dup2(each, 50 + at) for at, each in enumerate(wanted)]
    for at, each in enumerate(moved):
        os.dup2(each, REQUESTS + at, inheritable=True)
    os.closerange(ARGUMENTS + 1, os.sysconf("SC_OPEN_MAX"))


if __name__ == "__main__":
    main(int(sys.argv[1]))
