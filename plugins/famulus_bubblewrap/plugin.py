"""The plugin: boxes are tried out after the start, and opened for whoever has code to run."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from famulus import Plugin, hookimpl
from famulus_bubblewrap.settings import BubblewrapSettings
from famulus_schemas.health import Health
from famulus_schemas.ports import SANDBOX

if TYPE_CHECKING:
    from famulus_boxes.keeper import Keeper


class Bubblewrap(Plugin[BubblewrapSettings]):
    """Provides SANDBOX by bubblewrap, where this machine lets it."""

    name = "bubblewrap"
    provides = (SANDBOX,)
    stand_in = True
    _keeper: Keeper | None = None

    @asynccontextmanager
    async def lifespan(self) -> AsyncIterator[None]:
        """Provide the port; that boxes cannot be opened is told to those who want one."""
        # Only here: what does not run is not imported.
        from famulus_boxes.environment import find_environment
        from famulus_boxes.keeper import Keeper
        from famulus_bubblewrap.wall import BubblewrapWall

        environment = await asyncio.to_thread(find_environment, self.data_dir, self.settings.python)
        if environment.stale:
            self.log.warning("packages_not_used", reason=environment.stale)
        self._keeper = Keeper(
            BubblewrapWall(self.settings, environment),
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
