"""What the operating system holds a process that reads files to."""

from __future__ import annotations

import ctypes
import math
import os
import resource
import signal
import sys

from famulus_extraction.messages import Limits

OPEN_FILES_MAX = 64
PR_SET_PDEATHSIG = 1


def die_with(parent: int) -> None:
    """Have this process killed when its parent ends, however that ends (Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        # It ended before this was asked for.
        os.kill(os.getpid(), signal.SIGKILL)


def be_limited(limits: Limits) -> None:
    """Set the limits that hold for the whole life of the process."""
    os.nice(limits.niceness)
    _set(resource.RLIMIT_CORE, 0)
    _set(resource.RLIMIT_NOFILE, OPEN_FILES_MAX)
    _set(resource.RLIMIT_FSIZE, limits.output_bytes_max)
    if sys.platform == "linux":
        # Elsewhere it is not held to, or counts what is only reserved.
        _set(resource.RLIMIT_AS, limits.memory_bytes_max)


def allow_seconds(seconds: float) -> None:
    """Let the process compute so much longer; then it is ended.

    The server ends it by the clock; this ends it where the server is held up itself.
    """
    used = resource.getrusage(resource.RUSAGE_SELF)
    until = math.ceil(used.ru_utime + used.ru_stime + seconds) + 1
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (_least(until, hard), hard))


def _set(which: int, value: int) -> None:
    _, hard = resource.getrlimit(which)
    value = _least(value, hard)
    resource.setrlimit(which, (value, value))


def _least(value: int, hard: int) -> int:
    return value if hard == resource.RLIM_INFINITY else min(value, hard)
