"""A box's processes: one group, which none of them can leave."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import signal
from pathlib import Path

from famulus_boxes.processes import (
    children,
    cpu_s,
    memory_bytes,
    of_group,
    running,
    socket_bytes,
    sockets_of,
)
from famulus_boxes.wall import Usage
from famulus_schemas.sandbox import BoxLimits

_LOOK_S = 0.02


class GroupGrip:
    """Holds the group's first process, in which the code runs, and the box's home."""

    def __init__(self, pid: int, home: Path) -> None:
        """Raises OSError where there is no such box any more."""
        found = children(pid)
        if not found:
            raise ProcessLookupError("the box has ended")
        self.loop = found[0]
        self._supervisor = pid
        self._home = home
        self._held = [os.pidfd_open(self.loop)]

    def usage(self, limits: BoxLimits) -> Usage:
        """What its processes and files take."""
        pids = of_group(self.loop)
        size, files = _size(self._home, limits)
        sockets = socket_bytes(sockets_of(pids))
        return Usage(
            memory_bytes=sockets + memory_bytes(pids, limits.memory_bytes - sockets),
            files_bytes=size,
            files=files,
            cpu_s=cpu_s(pids),
            running=running(pids),
        )

    def interrupt(self) -> None:
        """Send SIGINT to the loop."""
        with contextlib.suppress(OSError):
            signal.pidfd_send_signal(self._held[0], signal.SIGINT)

    async def kill(self) -> None:
        """Kill the group until nothing of it is left: who forks may be faster than one signal."""
        while await asyncio.to_thread(of_group, self.loop):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.loop, signal.SIGKILL)
            await asyncio.sleep(_LOOK_S)
        # It ends by itself, once it has seen that.
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._supervisor, signal.SIGTERM)

    def close(self) -> None:
        """Let go of the processes."""
        while self._held:
            os.close(self._held.pop())


def _size(home: Path, limits: BoxLimits) -> tuple[int, int]:
    """Bytes and number of what is in a folder; no more is looked at once it is too much."""
    size = files = 0
    folders = [str(home)]
    while folders and files <= limits.files_max and size <= limits.files_bytes:
        try:
            with os.scandir(folders.pop()) as entries:
                for entry in entries:
                    files += 1
                    with contextlib.suppress(OSError):
                        size += entry.stat(follow_symlinks=False).st_blocks * 512
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(entry.path)
        except OSError as error:
            if error.errno == errno.ENAMETOOLONG:
                # What no path reaches cannot be counted, and nobody needs it.
                return size, limits.files_max + 1
    return size, files
