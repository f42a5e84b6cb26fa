"""The first process of a box: becomes nobody, gives away what it inherited, and starts bubblewrap.

Run by a Python of its own with the standard library alone, as `launch.py DESCRIPTOR`, which holds
the plan as JSON. Nothing here may be done in the server's own process: it has threads.
"""

from __future__ import annotations

import ctypes
import json
import os
import sys
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))

from famulus_boxes.first_steps import become, give_way, hold_only

_NEW_MOUNTS = 0x20000
_BIND, _RECURSIVE, _PRIVATE = 0x1000, 0x4000, 0x40000

SECCOMP, ARGUMENTS = 5, 6
"""Descriptors that are bubblewrap's, which closes them; the two before are the box's."""


def main(descriptor: int) -> None:
    with open(descriptor, encoding="utf-8") as file:
        plan = json.load(file)
    give_way(plan["nice"])
    if plan["uid"] is not None:
        if plan["shown"]:
            show(plan["shown"])
        become(plan["uid"])
    wanted = [plan["requests"], plan["replies"], plan["seccomp"], plan["arguments"]]
    hold_only(wanted, close=not plan["holds_all"])
    words = ["bwrap", "--args", str(ARGUMENTS), "--", *plan["run"]]
    # It has no variables: bubblewrap is the first process in the box, and looked at there.
    os.execve(plan["command"], words, plan["environment"])  # noqa: S606


def show(places: list[tuple[str, str]]) -> None:
    """Put folders where anybody can reach them, in mounts that nobody else sees."""
    libc = ctypes.CDLL(None, use_errno=True)

    def call(name: str, *arguments: Any) -> None:
        if getattr(libc, name)(*arguments) != 0:
            raise OSError(ctypes.get_errno(), f"{name}: {os.strerror(ctypes.get_errno())}")

    call("unshare", _NEW_MOUNTS)
    call("mount", b"none", b"/", None, _RECURSIVE | _PRIVATE, None)
    folder = os.path.dirname(places[0][1]).encode()
    # Looked up before the folder is covered, in case they lie in it.
    sources = [os.open(source, os.O_PATH) for source, _ in places]
    call("mount", b"famulus", folder, b"tmpfs", 0, b"size=64k,mode=755")
    for source, (_, target) in zip(sources, places, strict=True):
        os.mkdir(target)
        at = f"/proc/self/fd/{source}".encode()
        call("mount", at, target.encode(), None, _BIND | _RECURSIVE, None)
        os.close(source)


if __name__ == "__main__":
    main(int(sys.argv[1]))
