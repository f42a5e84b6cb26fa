"""The probe: what can be found out about boxes from here, which is not how well they are shut."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from famulus_remote_sandbox.channel import ChannelClosed
from famulus_remote_sandbox.marks import Marks
from famulus_remote_sandbox.messages import Forged
from famulus_remote_sandbox.settings import RemoteSandboxSettings
from famulus_remote_sandbox.starting import Started, StartFailed, leave, start
from famulus_schemas.sandbox import Probe

if TYPE_CHECKING:
    from famulus_remote_sandbox.gateway import Gateway

_NAME = "remote_sandbox"

LACKS = (
    "that its kernels are shut in is what its operator says, and is not tried out",
    "memory, files and processes of boxes are bounded by the gateway's kernels, not by this server",
)

SHARED = "kernels share a file system (`homes`): code can read what other sessions keep in theirs"


async def look(gateway: Gateway, settings: RemoteSandboxSettings, marks: Marks) -> Probe:
    """Start two kernels, run code in both, and see that neither has the other's files."""
    if settings.url is None:
        return _none("set `url` in [plugins.remote_sandbox] to that of a Jupyter gateway")
    if settings.level is None:
        return _none(
            "this server cannot see how the gateway shuts its kernels in: say it by `level` in "
            '[plugins.remote_sandbox], "isolated" where each kernel has a sandbox of its own, as '
            'gVisor\'s, else "confined"'
        )
    async with contextlib.AsyncExitStack() as stack:
        try:
            first = await start(gateway, settings, marks)
            stack.push_async_callback(leave, gateway, first, marks)
            await _write(first)
            # One that sees what the first one wrote does not start: its home is not empty.
            second = await start(gateway, settings, marks)
            stack.push_async_callback(leave, gateway, second, marks)
            found = await _listed(second)
        except StartFailed as error:
            return _none(str(error))
        except (ChannelClosed, Forged, TimeoutError) as error:
            return _none(f"a new kernel does not do what it is asked: {error}")
    if found:
        return _none("a new kernel has files of another: set `homes`")
    lacks = (*LACKS, SHARED) if settings.homes else LACKS
    return Probe(
        provider=_NAME,
        level=settings.level,
        reasons=lacks,
        python=first.python,
        packages=first.packages,
    )


async def _write(started: Started) -> None:
    await started.asker.ask("put", path="probe")
    await started.asker.ask("close")


async def _listed(started: Started) -> bool:
    answer, _ = await started.asker.ask("list", most=1)
    return bool(answer.files)


def _none(reason: str) -> Probe:
    return Probe(provider=_NAME, level="none", reasons=(f"{_NAME}: {reason}",))
