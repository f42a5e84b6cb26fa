"""The boxes of one server: whose they are, who makes room for whom, and what a lost server left."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from famulus_remote_sandbox.box import RemoteBox
from famulus_remote_sandbox.marks import Marks
from famulus_remote_sandbox.probing import look
from famulus_remote_sandbox.settings import RemoteSandboxSettings
from famulus_remote_sandbox.starting import Started, StartFailed, end, leave, start
from famulus_schemas.health import Health
from famulus_schemas.sandbox import Box, BoxLimits, Probe, SandboxBusy, SandboxUnavailable

if TYPE_CHECKING:
    from famulus_remote_sandbox.gateway import Gateway

_TEND_S = 1.0
_AGAIN_S = 60.0
"""After so long what did not work is tried again: a gateway, or the end of a kernel."""

Key = tuple[str, str]


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
        self._boxes: dict[Key, RemoteBox] = {}
        self._opening: WeakValueDictionary[Key, asyncio.Lock] = WeakValueDictionary()
        self._all: set[RemoteBox] = set()
        """Those whose kernels may be there, also while they end."""
        self._warm: list[Started] = []
        self._used = asyncio.Event()
        """Set where one of those kept ready may be missing."""
        self._places = asyncio.Semaphore(settings.boxes_max)
        self._probing = asyncio.Lock()
        self._probe: Probe | None = None
        self._probed_at = 0.0
        self._closed = False

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Tend boxes until the context is left; then none of them is left."""
        tasks = [asyncio.create_task(self._tend()), asyncio.create_task(self._keep_warm())]
        try:
            yield
        finally:
            self._closed = True
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await asyncio.gather(*(box.close() for box in list(self._all)))
            await asyncio.gather(*(self._leave(each) for each in self._warm))

    # -- finding out -----------------------------------------------------------------------

    async def probe(self) -> Probe:
        """What boxes are worth here; see `Sandbox`."""
        async with self._probing:
            now = asyncio.get_running_loop().time()
            old = self._probe
            if old is None or (old.level == "none" and now - self._probed_at > _AGAIN_S):
                self._probe = await look(self._gateway, self._settings, self._marks)
                self._probed_at = asyncio.get_running_loop().time()
                self._log.info(
                    "sandbox_probed",
                    provider=self._probe.provider,
                    boxes=self._probe.level,
                    reasons=list(self._probe.reasons),
                )
                self._used.set()
            assert self._probe is not None
            return self._probe

    def health(self) -> Health:
        """What is known of boxes, without asking."""
        probe = self._probe
        if probe is None:
            return Health(detail="boxes have not been tried out yet")
        if probe.level == "none":
            return Health(
                status="degraded", detail="code cannot be run: " + "; ".join(probe.reasons)
            )
        lacks = "".join(f"; {each}" for each in probe.reasons)
        return Health(detail=f"boxes are {probe.level}{lacks}")

    # -- boxes -----------------------------------------------------------------------------

    def find(self, session: str, *, project: str) -> Box | None:
        """The open box of a session; see `Sandbox`."""
        box = self._boxes.get((project, session))
        return box if box is not None and box.is_alive else None

    async def open(self, session: str, *, project: str, limits: BoxLimits | None = None) -> Box:
        """The session's box, or a new one; see `Sandbox`."""
        key = (project, session)
        # Kept as long as anybody waits for it: with another one, a session would get two boxes.
        opening = self._opening.setdefault(key, asyncio.Lock())
        async with opening:
            return self.find(session, project=project) or await self._open(key, limits)

    async def _open(self, key: Key, limits: BoxLimits | None) -> Box:
        probe = await self.probe()
        if probe.level == "none":
            raise SandboxUnavailable(probe.reasons)
        await self._take_place()
        try:
            started = await self._from_warm() or await self._start()
        except BaseException as error:
            self._places.release()
            if isinstance(error, StartFailed):
                raise SandboxUnavailable((f"remote_sandbox: {error}",)) from error
            raise
        box = self._box(key, started, limits)
        self._used.set()
        if self._closed:
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
        self._boxes[key] = box
        self._all.add(box)
        return box

    async def _interrupt(self, kernel: str) -> None:
        from famulus_remote_sandbox.gateway import GatewayFault

        try:
            await self._gateway.interrupt(kernel)
        except GatewayFault as error:
            # The box is ended once its grace is over.
            self._log.warning("kernel_not_interrupted", kernel=kernel, reason=str(error))

    async def _take_place(self) -> None:
        if self._closed:
            raise SandboxUnavailable(("the server is being stopped",))
        if self._places.locked():
            await self._make_room()
        try:
            async with asyncio.timeout(self._settings.wait_s):
                await self._places.acquire()
        except TimeoutError:
            raise SandboxBusy(self._settings.boxes_max) from None

    async def _make_room(self) -> None:
        """End the box that was unused for longest, if that is long enough."""
        idle = [each for each in self._boxes.values() if not each.is_busy and each.is_alive]
        box = min(idle, key=lambda each: each.used_at, default=None)
        if box is not None and self._unused_s(box) >= self._settings.spare_s:
            await box.end("evicted", "another session needed its place")

    def _unused_s(self, box: RemoteBox) -> float:
        return asyncio.get_running_loop().time() - box.used_at

    def _gone(self, key: Key, box: RemoteBox) -> None:
        if self._boxes.get(key) is box:
            del self._boxes[key]
        self._all.discard(box)
        self._places.release()

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
                async with asyncio.timeout(_AGAIN_S):
                    await self._used.wait()

    def _may_be_warm(self) -> bool:
        is_able = self._probe is not None and self._probe.level != "none"
        return is_able and len(self._warm) < self._settings.warm

    # -- ending what nobody uses -----------------------------------------------------------

    async def _tend(self) -> None:
        clock = asyncio.get_running_loop().time
        again_at = clock()
        while True:
            try:
                for box in list(self._boxes.values()):
                    if not box.is_busy and self._unused_s(box) >= self._settings.idle_s:
                        await box.end("evicted", "it was not used for too long")
                if clock() >= again_at:
                    again_at = clock() + _AGAIN_S
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
