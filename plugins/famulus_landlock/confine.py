"""The first process of a box: confines its child, which becomes the box, and dies with the server.

Run by a Python of its own with the standard library alone, as `confine.py DESCRIPTOR`, which holds
the plan as JSON. It stays as the parent: when the server dies, however it does, the kernel tells
it, and it kills the group of the box.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import struct
import sys
import time
from pathlib import Path
from typing import Any, NoReturn

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))

from famulus_boxes.first_steps import become, give_way, hold_only

_CREATE, _ADD, _RESTRICT = 444, 445, 446
"""Landlock's system calls, whose numbers are the same on all machines."""
_VERSION = 1
_BENEATH = 1

_EXECUTE, _WRITE, _READ, _READ_FOLDER = 1, 2, 4, 8
_REMOVE = 0x10 | 0x20
_MAKE = 0x80 | 0x100 | 0x200 | 0x400 | 0x1000
"""Folders, files, sockets, pipes and links; no devices."""
_REFER, _TRUNCATE = 0x2000, 0x4000
_FILES_OF = (0, 0x1FFF, 0x3FFF, 0x7FFF, 0x7FFF, 0xFFFF)
"""What each version of Landlock can refuse; the last is what it is since the fifth."""
_NETWORK_SINCE, _SCOPES_SINCE = 4, 6
_TCP = 1 | 2
_ABSTRACT_AND_SIGNALS = 1 | 2

_DEATH_SIGNAL, _NO_NEW_PRIVILEGES, _SECCOMP, _FILTER = 1, 38, 22, 2

REMOVE = "/bin/rm"
"""It follows no link, and no depth is too much for it."""
_TRIES, _LOOK_S = 500, 0.01

libc = ctypes.CDLL(None, use_errno=True)


def version() -> int:
    """Of the kernel's Landlock; 0 where there is none."""
    return max(0, int(libc.syscall(_CREATE, None, 0, _VERSION)))


def main(descriptor: int) -> None:
    with open(descriptor, encoding="utf-8") as file:
        plan = json.load(file)
    server = os.getppid()
    watched = {signal.SIGTERM, signal.SIGCHLD}
    signal.pthread_sigmask(signal.SIG_BLOCK, watched)
    _check(libc.prctl(_DEATH_SIGNAL, signal.SIGTERM))
    if os.getppid() != server:
        sys.exit(0)
    child = os.fork()
    if child == 0:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, watched)
        try:
            box(plan)
        except OSError as error:
            print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
        os._exit(1)
    os.closerange(0, os.sysconf("SC_OPEN_MAX"))
    while signal.sigwait(watched) == signal.SIGCHLD:
        if os.waitpid(child, os.WNOHANG)[0]:
            break
    end(child, plan["home"])


def end(group: int, home: str) -> NoReturn:
    """Kill what the box started, until nothing is left, and remove its home."""
    for _ in range(_TRIES):
        try:
            os.killpg(group, signal.SIGKILL)
        except ProcessLookupError:
            break
        time.sleep(_LOOK_S)
    os.execv(REMOVE, ["rm", "-rf", "--", home])  # noqa: S606


def box(plan: dict[str, Any]) -> NoReturn:
    """Become the box."""
    os.setpgid(0, 0)
    _check(libc.prctl(_DEATH_SIGNAL, signal.SIGKILL))
    give_way(plan["nice"])
    if plan["uid"] is not None:
        become(plan["uid"])
        # It is forgotten where a process becomes somebody else.
        _check(libc.prctl(_DEATH_SIGNAL, signal.SIGKILL))
    os.umask(0o077)
    hold_only([plan["requests"], plan["replies"], plan["filter"]])
    os.chdir(plan["home"])
    _check(libc.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0))
    if plan["landlock"]:
        shut_in(plan["home"], plan["readable"], plan["devices"])
    with open(5, "rb") as file:
        filter_bytes = file.read()
    if filter_bytes:
        apply(filter_bytes)
    os.execve(plan["run"][0], plan["run"], plan["environment"])  # noqa: S606


def shut_in(home: str, readable: list[str], devices: list[str]) -> None:
    """Leave it its home, and some places to read."""
    abi = version()
    handled = _FILES_OF[min(abi, len(_FILES_OF) - 1)]
    network = _TCP if abi >= _NETWORK_SINCE else 0
    scopes = _ABSTRACT_AND_SIGNALS if abi >= _SCOPES_SINCE else 0
    attributes = struct.pack("=QQQ", handled, network, scopes)
    size = 24 if abi >= _SCOPES_SINCE else 16 if abi >= _NETWORK_SINCE else 8
    rules = _check(libc.syscall(_CREATE, attributes, size, 0))
    all_of_home = _EXECUTE | _WRITE | _READ | _READ_FOLDER | _REMOVE | _MAKE | _REFER | _TRUNCATE
    allow(rules, home, all_of_home & handled)
    for path in readable:
        allow(rules, path, _EXECUTE | _READ | (_READ_FOLDER if os.path.isdir(path) else 0))
    for path in devices:
        allow(rules, path, _READ | _WRITE)
    # What a process says of itself, and no other.
    allow(rules, f"/proc/{os.getpid()}", _READ | _READ_FOLDER)
    _check(libc.syscall(_RESTRICT, rules, 0))
    os.close(rules)


def allow(rules: int, path: str, access: int) -> None:
    try:
        place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    rule = struct.pack("=Qi", access, place)
    _check(libc.syscall(_ADD, rules, _BENEATH, rule, 0))
    os.close(place)


def apply(filter_bytes: bytes) -> None:
    """Have a filter of system calls from here on."""
    code = ctypes.create_string_buffer(filter_bytes, len(filter_bytes))
    program = struct.pack("@HP", len(filter_bytes) // 8, ctypes.addressof(code))
    _check(libc.prctl(_SECCOMP, _FILTER, program, 0, 0))


def _check(result: int) -> int:
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


if __name__ == "__main__":
    main(int(sys.argv[1]))
