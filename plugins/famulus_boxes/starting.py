"""How a box comes to life: its process, its pipes, the loop that it runs, and its first answer."""

from __future__ import annotations

import asyncio
import os
from asyncio.subprocess import Process
from importlib.resources import files

import msgspec

from famulus_boxes.channel import STREAMS, Channel, ChannelClosed
from famulus_boxes.frames import ForgedFrame
from famulus_boxes.settings import BoxSettings
from famulus_boxes.wall import Grip, Launch, Wall
from famulus_schemas.sandbox import HOME, BoxLimits

BOOTSTRAP = """\
import os
def read(n):
    b = b""
    while len(b) < n:
        p = os.read(3, n - len(b))
        if not p:
            os._exit(0)
        b += p
    return b
exec(compile(read(int.from_bytes(read(4), "big")), "<box>", "exec"), {"__name__": "box"})
"""
"""The command of a box: it runs what it is sent first, so that no file of ours must be in there."""

_COMPLAINT_BYTES = 2_000


class StartFailed(Exception):
    """A box did not come to life; says what was heard of it."""


class Started(msgspec.Struct, frozen=True, kw_only=True):
    """A box that answers, in which no code has run yet."""

    process: Process
    channel: Channel
    grip: Grip
    launch: Launch
    limits: BoxLimits
    python: str


async def start(wall: Wall, limits: BoxLimits, settings: BoxSettings) -> Started:
    """Start a box. Raises StartFailed, and leaves nothing then, nor where it is cancelled."""
    requests_in, requests, replies, replies_out, stdout, stdout_in, stderr, stderr_in = _pipes(4)
    channel = Channel(requests=requests, replies=replies, stdout=stdout, stderr=stderr)
    theirs = [requests_in, replies_out, stdout_in, stderr_in]
    launch: Launch | None = None
    try:
        launching = asyncio.ensure_future(
            asyncio.to_thread(wall.launch, limits, requests=requests_in, replies=replies_out)
        )
        try:
            await asyncio.shield(launching)
        finally:
            # Where it is cancelled, too: what was made for the box must not be left.
            launch = await launching
            theirs += launch.descriptors
        process = await asyncio.create_subprocess_exec(
            *launch.command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=stdout_in,
            stderr=stderr_in,
            env=dict(launch.environment),
            pass_fds=(requests_in, replies_out, *launch.descriptors),
            cwd="/",
        )
    except BaseException as error:
        channel.close()
        if launch is not None:
            launch.clean()
        if isinstance(error, OSError):
            raise StartFailed(str(error)) from error
        raise
    finally:
        for each in theirs:
            os.close(each)
    try:
        async with asyncio.timeout(settings.start_s):
            python = await _greeted(channel, launch, settings)
        grip = wall.grip(process.pid, launch)
    except BaseException as error:
        complaint = channel.text("stderr")[:_COMPLAINT_BYTES].decode(errors="replace").strip()
        await _undone(process, channel, launch)
        if isinstance(error, ChannelClosed | ForgedFrame | TimeoutError | OSError):
            raise StartFailed(complaint or str(error) or type(error).__name__) from error
        raise
    return Started(
        process=process,
        channel=channel,
        grip=grip,
        launch=launch,
        limits=limits,
        python=python,
    )


def _pipes(count: int) -> list[int]:
    """The ends of so many pipes, the one to read first. Raises StartFailed, and leaves none."""
    made: list[int] = []
    try:
        for _ in range(count):
            made += os.pipe()
    except OSError as error:
        for each in made:
            os.close(each)
        raise StartFailed(str(error)) from error
    return made


async def _greeted(channel: Channel, launch: Launch, settings: BoxSettings) -> str:
    loop = (files("famulus_boxes") / "loop.py").read_bytes()
    await channel.send_raw(len(loop).to_bytes(4, "big") + loop)
    await channel.send(
        {
            "id": 0,
            "kind": "begin",
            "home": launch.home,
            "alias": None if launch.home == HOME else [HOME, launch.home],
            "path": list(launch.packages),
            "rlimits": dict(launch.rlimits),
            "preload": list(settings.preload) if launch.packages else [],
        }
    )
    while (found := channel.reply()) is None:
        await channel.wait_for_reply()
    # What imports had to say was said to nobody.
    for stream in STREAMS:
        while channel.text(stream):
            pass
    reply, _ = found
    if reply.kind != "done" or reply.id != 0:
        raise ForgedFrame("it does not begin as a box")
    return reply.text[:20]


async def _undone(process: Process, channel: Channel, launch: Launch) -> None:
    # No code has run: what there is of the box dies with the process that was started.
    if process.returncode is None:
        process.kill()
    await process.wait()
    channel.close()
    launch.clean()
