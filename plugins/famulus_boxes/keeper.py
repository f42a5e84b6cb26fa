"""The boxes of one server: whose they are, those that are kept ready, and who watches them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec

from famulus_boxes.box import LiveBox
from famulus_boxes.environment import Environment
from famulus_boxes.findings import Findings
from famulus_boxes.places import Key, Places
from famulus_boxes.probing import tried
from famulus_boxes.settings import BoxSettings
from famulus_boxes.starting import StartFailed, start
from famulus_boxes.wall import Wall
from famulus_boxes.watching import watch
from famulus_schemas.health import Health
from famulus_schemas.sandbox import Box, BoxLimits, Probe, SandboxUnavailable

_TEND_S = 1.0


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
        self._places: Places[LiveBox] = Places(settings)
        self._warm: list[LiveBox] = []
        self._all: set[LiveBox] = set()
        """Those of which anything is left, also while they end."""
        self._tending = asyncio.Event()
        self._findings = Findings(self._look, on_found=self._tending.set, log=log)

    @property
    def boxes(self) -> list[LiveBox]:
        """Those that are alive, warm ones too."""
        return [each for each in (*self._places.boxes, *self._warm) if each.is_alive]

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
            self._places.is_closed = True
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await asyncio.gather(*(box.close() for box in self._all))

    # -- finding out -----------------------------------------------------------------------

    async def probe(self) -> Probe:
        """What boxes are worth here; see `Sandbox`."""
        return await self._findings.ask()

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
        # What is only not installed is nobody's fault; a wall with a hole is.
        return self._findings.health(is_broken=lambda: not self._wall.unusable())

    # -- boxes -----------------------------------------------------------------------------

    def find(self, session: str, *, project: str) -> Box | None:
        """The open box of a session; see `Sandbox`."""
        return self._places.find((project, session))

    async def open(self, session: str, *, project: str, limits: BoxLimits | None = None) -> Box:
        """The session's box, or a new one; see `Sandbox`."""
        key, narrowed = (project, session), self._narrowed(limits)
        return await self._places.found_or(key, lambda: self._open(key, narrowed))

    def _narrowed(self, limits: BoxLimits | None) -> BoxLimits:
        most = self._settings.box_limits()
        if limits is None:
            return most
        wanted, allowed = msgspec.structs.asdict(limits), msgspec.structs.asdict(most)
        return BoxLimits(**{name: min(wanted[name], allowed[name]) for name in allowed})

    async def _open(self, key: Key, limits: BoxLimits) -> LiveBox:
        probe = await self.probe()
        if probe.level == "none":
            raise SandboxUnavailable(probe.reasons)
        async with self._places.taken():
            try:
                box = self._from_warm(limits) or await self._started(limits)
            except StartFailed as error:
                raise SandboxUnavailable((f"{self._wall.name}: {error}",)) from error
        box.project, box.session = key
        box.on_gone = lambda: self._gone(key, box)
        self._places.move_in(key, box)
        self._tending.set()
        return box

    def _gone(self, key: Key, box: LiveBox) -> None:
        self._all.discard(box)
        self._places.leave(key, box)

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
                if self._findings.is_able:
                    await self._warm_up()
                await self._places.end_unused()
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
