"""The plugin: for where bubblewrap cannot work, and only where the operator says so."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from famulus import Plugin, hookimpl
from famulus_landlock.settings import LandlockSettings
from famulus_schemas.health import Health
from famulus_schemas.ports import SANDBOX

if TYPE_CHECKING:
    from famulus_boxes.keeper import Keeper


class Landlock(Plugin[LandlockSettings]):
    """Provides SANDBOX by Landlock, where `[ports] sandbox` names it."""

    name = "landlock"
    provides = (SANDBOX,)
    by_choice = True
    _keeper: Keeper | None = None

    @asynccontextmanager
    async def lifespan(self) -> AsyncIterator[None]:
        """Provide the port, and say what boxes lack."""
        # Only here: what does not run is not imported.
        from famulus_boxes.environment import find_environment
        from famulus_boxes.keeper import Keeper
        from famulus_landlock.wall import LACKS, LandlockWall

        self.log.warning("sandbox_is_weaker", lacks=list(LACKS))
        environment = await asyncio.to_thread(find_environment, self.data_dir, self.settings.python)
        if environment.stale:
            self.log.warning("packages_not_used", reason=environment.stale)
        self._keeper = Keeper(
            LandlockWall(self.settings, environment),
            self.settings,
            environment,
            folder=self.data_dir,
            make_id=self.new_id,
            log=self.log,
        )
        async with self._keeper.running():
            self.provide(SANDBOX, self._keeper)
            yield

    @hookimpl
    async def check_health(self) -> Health:
        """What the probe found. A server without boxes serves everything else."""
        assert self._keeper is not None
        return self._keeper.health()
