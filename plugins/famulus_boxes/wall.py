"""What shuts a box in: each local sandbox has one of these, and everything else is shared."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import msgspec

from famulus_schemas.sandbox import BoxLimits, Level


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    """What a box takes now."""

    memory_bytes: int
    files_bytes: int = 0
    files: int = 0
    cpu_s: float = 0.0
    running: int = 0
    """Threads that run now: whose processes nobody waits for are in no sum of CPU seconds."""


class Launch(msgspec.Struct, frozen=True, kw_only=True):
    """How one box is started."""

    command: Sequence[str]
    descriptors: Sequence[int]
    """That the command inherits, beside its three streams; closed once it is started."""
    environment: Mapping[str, str]
    home: str
    """Where the box's home is, as the code in it sees it."""
    packages: Sequence[str]
    """Folders in which the code looks for modules."""
    rlimits: Mapping[str, int]
    """That the first process in the box sets, by their names in `resource`."""
    clean: Callable[[], None]
    """Remove what was made for the box; called once, when none of its processes is left."""


class Grip(Protocol):
    """A box's processes in the hands of the server."""

    loop: int
    """The process in which the code runs."""

    def usage(self, limits: BoxLimits) -> Usage:
        """What it takes. Reads `/proc` and may take milliseconds; nothing once it is gone."""
        ...

    def interrupt(self) -> None:
        """Send SIGINT to the loop."""
        ...

    async def kill(self) -> None:
        """Kill every process of the box, and wait until none is left."""
        ...

    def close(self) -> None:
        """Let go, once it is dead."""
        ...


class Wall(Protocol):
    """One way of shutting boxes in."""

    name: str
    level: Level
    lacks: Sequence[str]
    """What it does not do that others do; told to the operator."""

    def unusable(self) -> Sequence[str]:
        """Why it cannot be used here at all, and what to do; empty where it can be tried."""
        ...

    def launch(self, limits: BoxLimits, *, requests: int, replies: int) -> Launch:
        """How a box is started that reads and writes these descriptors. May block for a little."""
        ...

    def grip(self, pid: int, launch: Launch) -> Grip:
        """Take hold of a box whose loop has answered, and in which no code ran yet."""
        ...
