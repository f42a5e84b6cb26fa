"""The plugin: EVENTS for one process."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from famulus import Plugin, hookimpl
from famulus.fanout import Fanout
from famulus_events.settings import EventsSettings
from famulus_schemas.health import Health
from famulus_schemas.ports import EVENTS


class EventsPlugin(Plugin[EventsSettings]):
    """Provides EVENTS to the listeners of this process."""

    name = "events"
    provides = (EVENTS,)
    stand_in = True
    _fanout: Fanout | None = None

    @asynccontextmanager
    async def lifespan(self) -> AsyncIterator[None]:
        """Take listeners until stopped; then drop those that are left."""
        self._fanout = fanout = Fanout(self.settings)
        self.provide(EVENTS, fanout)
        try:
            yield
        finally:
            fanout.stop()

    @hookimpl
    async def check_health(self) -> Health:
        """Whether there is room for further listeners."""
        limit = self.settings.listeners_max
        if self._fanout is None or self._fanout.listeners < limit:
            return Health()
        return Health(status="degraded", detail=f"{limit} listeners, as many as listeners_max")
