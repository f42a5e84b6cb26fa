"""The boxes of one server: whose they are, those that are kept ready, and who watches them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

import msgspec

from famulus_boxes.box import LiveBox
from famulus_boxes.environment import Environment
from famulus_boxes.probing import tried
from famulus_boxes.settings import BoxSettings
from famulus_boxes.starting import StartFailed, start
from famulus_boxes.wall import Wall
from famulus_boxes.watching import watch
from famulus_schemas.health import Health
from famulus_schemas.sandbox import Box, BoxLimits, Probe, SandboxBusy, SandboxUnavailable

_TEND_S = 1.0
_AGAIN_S = 60.0
"""After so long a sandbox that did not work is tried again: its operator may have mended it."""

Key = tuple[str, str]


class Keeper:
    """A local sandbox. What it does, Protocol `Sandbox` says."""

    def __init__(
        self,
        wall: Wall,
        settings: BoxSettings,
        environment: Environment,
        *,
        folder: Path,
        make_id: Callable[[str], str],
        log: Any,
    ) -> None:
        self._wall = wall
        self._settings = settings
        self._environment = environment
        self._folder = folder
        self._make_id = make_id
        self._log = log
        self._boxes: dict[Key, LiveBox] = {}
        self._opening: WeakValueDictionary[Key, asyncio.Lock] = WeakValueDictionary()
        self._warm: list[LiveBox] = []
        self._all: set[LiveBox] = set()
        """Those of which anything is left, also while they end."""
        self._places = asyncio.Semaphore(settings.boxes_max)
        self._probing = asyncio.Lock()
        self._probe: Probe | None = None
        self._probed_at = 0.0
        self._tending: asyncio.Event = asyncio.Event()
        self._closed = False

    @property
    def last_probe(self) -> Probe | None:
        """What was found, if it was looked already."""
        return self._probe

    @property
    def boxes(self) -> list[LiveBox]:
        """Those that are alive, warm ones too."""
        return [each for each in (*self._boxes.values(), *self._warm) if each.is_alive]

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Watch and tend boxes until the context is left; then none of them is left."""
        tasks = [
            asyncio.create_task(watch(lambda: self.boxes, self._settings)),
            asyncio.create_task(self._tend()),
        ]
        try:
            yield
        finally:
            self._closed = True
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await asyncio.gather(*(box.close() for box in self._all))

    # -- finding out -----------------------------------------------------------------------

    async def probe(self) -> Probe:
        """What boxes are worth here; see `Sandbox`."""
        async with self._probing:
            now = asyncio.get_running_loop().time()
            old = self._probe
            if old is None or (old.level == "none" and now - self._probed_at > _AGAIN_S):
                self._probe = await self._look()
                self._probed_at = asyncio.get_running_loop().time()
                self._log.info(
                    "sandbox_probed",
                    provider=self._probe.provider,
                    boxes=self._probe.level,
                    reasons=list(self._probe.reasons),
                )
                self._tending.set()
            assert self._probe is not None
            return self._probe

    async def _look(self) -> Probe:
        wall = self._wall
        reasons = tuple(await asyncio.to_thread(wall.unusable))
        python = self._environment.python_version
        if not reasons:
            try:
                python, reasons = await tried(wall, self._settings, self._folder)
            except (StartFailed, OSError) as error:
                reasons = (f"{wall.name}: no box starts: {error}",)
        if reasons:
            return Probe(provider=wall.name, level="none", reasons=reasons)
        return Probe(
            provider=wall.name,
            level=wall.level,
            reasons=tuple(wall.lacks),
            python=python,
            packages=self._environment.packages,
        )

    def health(self) -> Health:
        """What is known of boxes, without looking."""
        probe = self._probe
        if probe is None:
            return Health(detail="boxes have not been tried out yet")
        if probe.level == "none":
            # What is only not installed is nobody's fault; a wall with a hole is.
            is_broken = not self._wall.unusable()
            return Health(
                status="degraded" if is_broken else "ok",
                detail="code cannot be run: " + "; ".join(probe.reasons),
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
            found = self.find(session, project=project)
            return found or await self._open(key, self._narrowed(limits))

    def _narrowed(self, limits: BoxLimits | None) -> BoxLimits:
        most = self._settings.box_limits()
        if limits is None:
            return most
        wanted, allowed = msgspec.structs.asdict(limits), msgspec.structs.asdict(most)
        return BoxLimits(**{name: min(wanted[name], allowed[name]) for name in allowed})

    async def _open(self, key: Key, limits: BoxLimits) -> Box:
        probe = await self.probe()
        if probe.level == "none":
            raise SandboxUnavailable(probe.reasons)
        await self._take_place()
        try:
            box = self._from_warm(limits) or await self._started(limits)
        except BaseException as error:
            self._places.release()
            if isinstance(error, StartFailed):
                raise SandboxUnavailable((f"{self._wall.name}: {error}",)) from error
            raise
        box.project, box.session = key
        box.on_gone = lambda: self._gone(key, box)
        self._boxes[key] = box
        self._tending.set()
        return box

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

    def _unused_s(self, box: LiveBox) -> float:
        return asyncio.get_running_loop().time() - box.used_at

    def _gone(self, key: Key, box: LiveBox) -> None:
        if self._boxes.get(key) is box:
            del self._boxes[key]
        self._all.discard(box)
        self._places.release()

    async def _started(self, limits: BoxLimits) -> LiveBox:
        started = await start(self._wall, limits, self._settings)
        box = LiveBox(self._make_id("box"), started, self._settings)
        self._all.add(box)
        box.on_gone = lambda: self._all.discard(box)
        return box

    # -- keeping some ready, and ending those that nobody uses -----------------------------

    def _from_warm(self, limits: BoxLimits) -> LiveBox | None:
        for box in self._warm:
            if box.is_alive and box.limits == limits:
                self._warm.remove(box)
                box.used_at = asyncio.get_running_loop().time()
                return box
        return None

    async def _tend(self) -> None:
        is_probed = False
        while True:
            try:
                if not is_probed:
                    is_probed = True
                    await self._probe_later()
                self._tending.clear()
                self._warm = [each for each in self._warm if each.is_alive]
                if self._probe is not None and self._probe.level != "none":
                    await self._warm_up()
                await self._end_unused()
            except Exception as error:  # Isolation: one trouble must not end all tending.
                self._log.error("boxes_not_tended", exc_info=error)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_TEND_S):
                    await self._tending.wait()

    async def _probe_later(self) -> None:
        try:
            async with asyncio.timeout(self._settings.probe_after_s):
                await self._tending.wait()
        except TimeoutError:
            await self.probe()

    async def _warm_up(self) -> None:
        while len(self._warm) < self._settings.warm:
            try:
                self._warm.append(await self._started(self._settings.box_limits()))
            except StartFailed as error:
                self._log.warning("box_not_started", reason=str(error))
                await asyncio.sleep(_TEND_S)
                return

    async def _end_unused(self) -> None:
        for box in list(self._boxes.values()):
            if not box.is_busy and self._unused_s(box) >= self._settings.idle_s:
                await box.end("evicted", "it was not used for too long")
