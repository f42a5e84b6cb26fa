"""How a kernel becomes a box: it is started, reached, and given our part."""

from __future__ import annotations

import asyncio
import re
import secrets
from collections.abc import Sequence
from importlib.resources import files
from typing import TYPE_CHECKING

import msgspec

from famulus_remote_sandbox.asking import Asker
from famulus_remote_sandbox.channel import Channel, ChannelClosed
from famulus_remote_sandbox.marks import Marks
from famulus_remote_sandbox.messages import Forged, packed
from famulus_remote_sandbox.settings import RemoteSandboxSettings

if TYPE_CHECKING:
    from famulus_remote_sandbox.gateway import Gateway


_VERSION = re.compile(r"[0-9][0-9A-Za-z.+!]{0,29}")


class StartFailed(Exception):
    """No box can be had of the gateway now; says why."""


class Started(msgspec.Struct, kw_only=True):
    """A kernel in which nothing of anyone's has run."""

    kernel: str
    channel: Channel
    asker: Asker
    python: str
    packages: tuple[str, ...]


async def start(gateway: Gateway, settings: RemoteSandboxSettings, marks: Marks) -> Started:
    """Start one. Raises StartFailed; then nothing of it is left, or its mark is."""
    from famulus_remote_sandbox.gateway import GatewayFault

    try:
        async with asyncio.timeout(settings.start_s):
            kernel = await _begun(gateway, marks)
            try:
                return await _settled(gateway, settings, kernel)
            except BaseException:
                await asyncio.shield(end(gateway, kernel, marks))
                raise
    except TimeoutError as error:
        raise StartFailed(f"no kernel was ready within {settings.start_s:g} s") from error
    except ChannelClosed as error:
        raise StartFailed(f"a new kernel did not stay: {error.message}") from error
    except GatewayFault as error:
        raise StartFailed(str(error)) from error
    except Forged as error:
        raise StartFailed(f"a new kernel is none of ipykernel: {error}") from error


async def _begun(gateway: Gateway, marks: Marks) -> str:
    # A kernel that begins while nobody waits for it any more is still to be ended.
    beginning = asyncio.ensure_future(gateway.start())
    try:
        kernel = await asyncio.shield(beginning)
    except asyncio.CancelledError:
        beginning.add_done_callback(lambda done: _marked_late(done, marks))
        raise
    marks.add(kernel)
    return kernel


def _marked_late(done: asyncio.Future[str], marks: Marks) -> None:
    if not done.cancelled() and done.exception() is None:
        marks.add(done.result())
        marks.leave(done.result())


async def _settled(gateway: Gateway, settings: RemoteSandboxSettings, kernel: str) -> Started:
    session = secrets.token_hex(16)
    channel = Channel(await gateway.connect(kernel, session), held_bytes_max=settings.message_bytes)
    try:
        asker = Asker(channel, settings, session)
        source = files("famulus_remote_sandbox").joinpath("resident.py").read_bytes()
        await asker.bring(packed(source))
        answer, _ = await asker.ask("settle", homes=settings.homes, packages=settings.packages)
        if answer.kind == "refused":
            raise StartFailed(
                f"a new kernel has no home: {answer.text[:200]}; where kernels share a file "
                "system, set `homes`"
            )
        if not _VERSION.fullmatch(answer.text):
            raise Forged("its Python has no version")
        await asker.until_idle()
    except BaseException:
        await asyncio.shield(channel.close())
        raise
    channel.is_listening, channel.is_settled = False, True
    channel.forget()
    return Started(
        kernel=kernel,
        channel=channel,
        asker=asker,
        python=answer.text,
        packages=_packages(answer.packages, settings.packages),
    )


def _packages(told: Sequence[str], asked: Sequence[str]) -> tuple[str, ...]:
    """Those that were asked for: models read this, so nothing else may stand in it."""
    versions = dict(each.partition(" ")[::2] for each in told)
    return tuple(
        f"{name} {versions[name]}" for name in asked if _VERSION.fullmatch(versions.get(name, ""))
    )


async def leave(gateway: Gateway, started: Started, marks: Marks) -> None:
    """End a kernel that no box was made of."""
    await started.channel.close()
    await asyncio.shield(end(gateway, started.kernel, marks))


async def end(gateway: Gateway, kernel: str, marks: Marks) -> bool:
    """End a kernel; whether that worked. If not, its mark is left for a later try."""
    from famulus_remote_sandbox.gateway import GatewayFault

    try:
        await gateway.end(kernel)
    except GatewayFault:
        marks.leave(kernel)
        return False
    marks.remove(kernel)
    return True
