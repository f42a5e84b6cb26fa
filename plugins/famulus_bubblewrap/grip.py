"""A box's processes: all of one namespace, whose first process takes the others with it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal

from famulus_boxes.processes import (
    children,
    cpu_s,
    family,
    memory_bytes,
    running,
    socket_bytes,
    sockets_of_network,
)
from famulus_boxes.wall import Usage
from famulus_bubblewrap.arguments import OTHER_FILES
from famulus_schemas.sandbox import HOME, BoxLimits


class NamespaceGrip:
    """Holds the namespace's first process, and the one in which the code runs."""

    def __init__(self, pid: int) -> None:
        """Raises OSError where there is no such box any more."""
        inits = children(pid)
        loops = children(inits[0]) if inits else []
        if not loops:
            raise ProcessLookupError("the box has ended")
        self.init, self.loop = inits[0], loops[0]
        # Numbers of processes are used again; these descriptors mean these processes for ever.
        self._held = [os.pidfd_open(self.init)]
        try:
            self._held.append(os.pidfd_open(self.loop))
        except OSError:
            os.close(self._held[0])
            raise

    def usage(self, limits: BoxLimits) -> Usage:
        """What its processes and files take."""
        pids = family(self.init)
        files = 0
        for place in (HOME, *OTHER_FILES):
            with contextlib.suppress(OSError):
                found = os.statvfs(f"/proc/{self.init}/root{place}")
                # The folder itself is no file of the box's.
                files += found.f_files - found.f_ffree - 1
        sockets = socket_bytes(sockets_of_network(self.init))
        # How large files are together, their file system bounds.
        return Usage(
            memory_bytes=sockets + memory_bytes(pids, limits.memory_bytes - sockets),
            files=files,
            cpu_s=cpu_s(pids),
            running=running(pids),
        )

    def interrupt(self) -> None:
        """Send SIGINT to the loop."""
        with contextlib.suppress(OSError):
            signal.pidfd_send_signal(self._held[1], signal.SIGINT)

    async def kill(self) -> None:
        """Kill the first process; it is gone once all others of the namespace are."""
        init = self._held[0]
        with contextlib.suppress(OSError):
            signal.pidfd_send_signal(init, signal.SIGKILL)
        loop, gone = asyncio.get_running_loop(), asyncio.Event()
        loop.add_reader(init, gone.set)
        try:
            await gone.wait()
        finally:
            loop.remove_reader(init)

    def close(self) -> None:
        """Let go of the processes."""
        while self._held:
            os.close(self._held.pop())
