"""The probe: a box is opened, and code in it tries to break out; whoever believes a flag is wrong.

The names of what failed are told to the operator, and no box is opened for anybody then.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec

from famulus_boxes import attempts
from famulus_boxes.box import LiveBox
from famulus_boxes.settings import BoxSettings
from famulus_boxes.starting import start
from famulus_boxes.syscalls import numbers
from famulus_boxes.wall import Wall
from famulus_boxes.watching import watch
from famulus_schemas.sandbox import (
    BoxGone,
    BoxLimits,
    EndOutput,
    ErrorOutput,
    TextOutput,
)

LIMITS = BoxLimits(memory_bytes=120_000_000, files_bytes=16_000_000, files_max=2_000, tasks_max=24)
CALLS = ("io_uring_setup", "bpf", "perf_event_open", "keyctl", "userfaultfd", "unshare", "mount")
VARIABLES = (
    *("HOME", "LANG", "LC_CTYPE", "PATH", "PWD", "PYTHONPATH", "TMPDIR", "MPLBACKEND"),
    *("MPLCONFIGDIR", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"),
)
"""What the environment of a box may have."""
_CELL_S = 10.0
_OVERFILL_S = 15.0
"""Boxes come last: on a busy machine it takes theirs seconds to be given what is too much."""


class Bait(msgspec.Struct, frozen=True, kw_only=True):
    """What lies outside of a box for it to be caught with."""

    folder: str
    secret: str
    port: int
    abstract: str
    socket_file: str


async def tried(wall: Wall, settings: BoxSettings, folder: Path) -> tuple[str, tuple[str, ...]]:
    """The version of the Python in a box, and what a box could do that it must not.

    Bait is laid out in `folder`, which belongs to the server. Raises StartFailed.
    """
    # Nothing is preloaded: it would not fit into the small box that is to be overfilled.
    settings = msgspec.structs.replace(settings, preload=(), start_s=min(20.0, settings.start_s))
    with _bait(folder) as bait:
        async with _probed(wall, settings) as box:
            reasons = [
                f"{wall.name}: {name}: {line}"
                for name, code in _attempts(wall, bait)
                for line in await _printed(box, code)
            ]
            reasons += await _overfilled(wall, box)
            return box.python, tuple(reasons)


def _attempts(wall: Wall, bait: Bait) -> list[tuple[str, str]]:
    known = numbers()
    memory = attempts.ONE_PROCESS.format(memory_bytes=LIMITS.memory_bytes)
    disk = attempts.DISK.format(files_bytes=LIMITS.files_bytes + 1_000_000)
    network = attempts.NETWORK.format(
        port=bait.port, abstract=bait.abstract, socket_file=bait.socket_file
    )
    calls = [(known[name], name) for name in CALLS]
    isolated = wall.level == "isolated"
    found = [
        ("files", attempts.READ_FILES.format(secret=bait.secret)),
        (
            "environment",
            attempts.READ_ENVIRONMENT.format(known=VARIABLES, server=os.getpid()),
        ),
        ("network", network),
        ("descriptors", attempts.DESCRIPTORS),
        ("processes", attempts.PTRACE.format(server=os.getpid(), calls=calls)),
        ("writing", attempts.WRITE_OUTSIDE.format(outside=bait.folder)),
        ("forks", attempts.FORKS.format(tasks_max=LIMITS.tasks_max)),
        ("memory", memory),
    ]
    # Without a file system of its own, a box is ended by the watchdog: that is told as a lack.
    return [*found, ("disk", disk)] if isolated else found


async def _printed(box: LiveBox, code: str) -> list[str]:
    """The lines that an attempt printed; that it could not be made is one, too."""
    text, ended = "", False
    limits = msgspec.structs.replace(box.cell_limits, wall_s=_CELL_S)
    try:
        async for output in box.run(code, limits=limits):
            if isinstance(output, TextOutput) and output.stream == "stdout":
                text += output.text
            elif isinstance(output, ErrorOutput):
                text += f"the attempt itself failed: {output.traceback.strip()[-300:]}\n"
            ended = isinstance(output, EndOutput)
    except BoxGone as error:
        return [f"the box ended: {error.message}"]
    return text.splitlines() if ended else ["the attempt did not end"]


async def _overfilled(wall: Wall, box: LiveBox) -> list[str]:
    """Several processes that take too much together are the end of the box."""
    if not box.is_alive:
        return []
    code = attempts.MANY_PROCESSES.format(memory_bytes=LIMITS.memory_bytes)
    try:
        limits = msgspec.structs.replace(box.cell_limits, wall_s=_OVERFILL_S)
        async for _ in box.run(code, limits=limits):
            pass
    except BoxGone as error:
        if error.why == "memory":
            return []
    return [f"{wall.name}: memory: processes take more together than their box may"]


@asynccontextmanager
async def _probed(wall: Wall, settings: BoxSettings) -> AsyncIterator[LiveBox]:
    box = LiveBox("box_probe", await start(wall, LIMITS, settings), settings)
    watching = asyncio.create_task(watch(lambda: [box] if box.is_alive else [], settings))
    try:
        yield box
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
        await box.close()


@contextmanager
def _bait(folder: Path) -> Iterator[Bait]:
    """A file of the server's, and sockets on which it listens."""
    with (
        TemporaryDirectory(prefix="probe-", dir=folder) as place,
        TemporaryDirectory(prefix="famulus-") as short,
        socket.socket() as tcp,
        socket.socket(socket.AF_UNIX) as abstract,
        socket.socket(socket.AF_UNIX) as named,
    ):
        secret = Path(place).resolve() / "secret"
        secret.write_text("none of a box's business")
        # As wide open as a careless server leaves it.
        for each in (Path(place), Path(short)):
            each.chmod(0o755)
        secret.chmod(0o644)
        name = f"famulus-{secrets.token_hex(8)}"
        tcp.bind(("127.0.0.1", 0))
        abstract.bind("\0" + name)
        named.bind(f"{short}/s")
        os.chmod(f"{short}/s", 0o777)  # noqa: S103 - it is bait.
        for listening in (tcp, abstract, named):
            listening.listen(1)
        yield Bait(
            folder=place,
            secret=str(secret),
            port=tcp.getsockname()[1],
            abstract=name,
            socket_file=f"{short}/s",
        )
