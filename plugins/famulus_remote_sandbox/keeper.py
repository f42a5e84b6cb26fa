"""The boxes of one server: whose they are, who makes room for whom, and what a lost server left."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from famulus_boxes.findings import AGAIN_S, Findings
from famulus_boxes.places import Key, Places
from famulus_remote_sandbox.box import RemoteBox
from famulus_remote_sandbox.marks import Marks
from famulus_remote_sandbox.probing import look
from famulus_remote_sandbox.settings import RemoteSandboxSettings
from famulus_remote_sandbox.starting import Started, StartFailed, end, leave, start
from famulus_schemas.health import Health
from famulus_schemas.sandbox import Box, BoxLimits, Probe, SandboxUnavailable

if TYPE_CHECKING:
    from famulus_remote_sandbox.gateway import Gateway

_TEND_S = 1.0


class Keeper:
    """A remote sandbox. What it does, Protocol `Sandbox` says."""

    def __init__(
        self,
        gateway: Gateway,
        settings: RemoteSandboxSettings,
        marks: Marks,
        *,
        make_id: Callable[[str], str],
        log: Any,
    ) -> None:
        self._gateway = gateway
        self._settings = settings
        self._marks = marks
        self._make_id = make_id
        self._log = log
        self._places: Places[RemoteBox] = Places(settings)
        self._all: set[RemoteBox] = set()
        """Those whose kernels may be there, also while they end."""
        self._warm: list[Started] = []
        self._used = asyncio.Event()
        """Set where one of those kept ready may be missing."""
        self._findings = Findings(self._look, on_found=self._used.set, log=log)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Tend boxes until the context is left; then none of them is left."""
        tasks = [asyncio.create_task(self._tend()), asyncio.create_task(self._keep_warm())]
        try:
            yield
        finally:
            self._places.is_closed = True
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await asyncio.gather(*(box.close() for box in list(self._all)))
            await asyncio.gather(*(self._leave(each) for each in self._warm))

    # -- finding out -----------------------------------------------------------------------

    async def probe(self) -> Probe:
        """What boxes are worth here; see `Sandbox`."""
        return await self._findings.ask()

    async def _look(self) -> Probe:
        return await look(self._gateway, self._settings, self._marks)

    def health(self) -> Health:
        """What is known of boxes, without asking."""
        return self._findings.health(is_broken=lambda: True)

    # -- boxes -----------------------------------------------------------------------------

    def find(self, session: str, *, project: str) -> Box | None:
        """The open box of a session; see `Sandbox`."""
        return self._places.find((project, session))

    async def open(self, session: str, *, project: str, limits: BoxLimits | None = None) -> Box:
        """The session's box, or a new one; see `Sandbox`."""
        key = (project, session)
        return await self._places.found_or(key, lambda: self._open(key, limits))

    async def _open(self, key: Key, limits: BoxLimits | None) -> RemoteBox:
        probe = await self.probe()
        if probe.level == "none":
            raise SandboxUnavailable(probe.reasons)
        async with self._places.taken():
            try:
                started = await self._from_warm() or await self._start()
            except StartFailed as error:
                raise SandboxUnavailable((f"remote_sandbox: {error}",)) from error
        box = self._box(key, started, limits)
        self._used.set()
        if self._places.is_closed:
            await box.close()
            raise SandboxUnavailable(("the server is being stopped",))
        return box

    def _box(self, key: Key, started: Started, limits: BoxLimits | None) -> RemoteBox:
        most = self._settings.files_bytes
        files_bytes = most if limits is None else min(limits.files_bytes, most)

        async def ended() -> None:
            try:
                if not await end(self._gateway, started.kernel, self._marks):
                    self._log.warning("kernel_not_ended", kernel=started.kernel)
            finally:
                self._gone(key, box)

        box = RemoteBox(
            self._make_id("box"),
            key,
            started,
            self._settings,
            BoxLimits(files_bytes=files_bytes),
            interrupt=lambda: self._interrupt(started.kernel),
            end=ended,
        )
        self._places.move_in(key, box)
        self._all.add(box)
        return box

    async def _interrupt(self, kernel: str) -> None:
        from famulus_remote_sandbox.gateway import GatewayFault

        try:
            await self._gateway.interrupt(kernel)
        except GatewayFault as error:
            # The box is ended once its grace is over.
            self._log.warning("kernel_not_interrupted", kernel=kernel, reason=str(error))

    def _gone(self, key: Key, box: RemoteBox) -> None:
        self._all.discard(box)
        self._places.leave(key, box)

    # -- keeping some ready ----------------------------------------------------------------

    async def _start(self) -> Started:
        return await start(self._gateway, self._settings, self._marks)

    async def _leave(self, started: Started) -> None:
        await leave(self._gateway, started, self._marks)

    async def _from_warm(self) -> Started | None:
        while self._warm:
            started = self._warm.pop(0)
            if not started.channel.is_closed:
                return started
            await self._leave(started)
        return None

    async def _keep_warm(self) -> None:
        try:
            async with asyncio.timeout(self._settings.probe_after_s):
                await self._used.wait()
        except TimeoutError:
            await self.probe()
        while True:
            self._used.clear()
            for dead in [each for each in self._warm if each.channel.is_closed]:
                self._warm.remove(dead)
                await self._leave(dead)
            try:
                while self._may_be_warm():
                    started = await self._start()
                    started.channel.on_closed = self._used.set
                    self._warm.append(started)
            except StartFailed as error:
                self._log.warning("kernel_not_started", reason=str(error))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(AGAIN_S):
                    await self._used.wait()

    def _may_be_warm(self) -> bool:
        return self._findings.is_able and len(self._warm) < self._settings.warm

    # -- ending what nobody uses -----------------------------------------------------------

    async def _tend(self) -> None:
        clock = asyncio.get_running_loop().time
        again_at = clock()
        while True:
            try:
                await self._places.end_unused()
                if clock() >= again_at:
                    again_at = clock() + AGAIN_S
                    await self._end_left()
            except Exception as error:  # Isolation: one trouble must not end all tending.
                self._log.error("boxes_not_tended", exc_info=error)
            await asyncio.sleep(_TEND_S)

    async def _end_left(self) -> None:
        for kernel in self._marks.left:
            ended = await end(self._gateway, kernel, self._marks)
            self._log.info("kernel_left_behind", kernel=kernel, ended=ended)
            if not ended:
                return
