"""The plugin: LIMITS in Redis or Valkey."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from famulus import CannotStart, Plugin, hookimpl
from famulus_redis.settings import RedisSettings
from famulus_schemas.gauges import Gauge
from famulus_schemas.health import Health
from famulus_schemas.ports import LIMITS

if TYPE_CHECKING:
    from famulus_redis.limits import SharedLimits


class DriverMissing(CannotStart):
    """The package that talks to Redis is not installed."""


class Redis(Plugin[RedisSettings]):
    """Provides LIMITS to all processes that share a Redis."""

    name = "redis"
    extras = {"redis": "redis"}
    provides = (LIMITS,)
    _limits: SharedLimits | None = None

    @classmethod
    def off_because(cls, settings: RedisSettings) -> str | None:
        """Off until there is a Redis to use."""
        return None if settings.url else "no url is set"

    @asynccontextmanager
    async def lifespan(self) -> AsyncIterator[None]:
        """Serve at once, whether Redis is there or not: without it this process has its share."""
        _check_driver()
        from famulus_redis.connection import open_redis
        from famulus_redis.limits import SharedLimits

        async with open_redis(self.settings) as client:
            self._limits = SharedLimits(
                client, self.settings, local_clock=self.host.clock, log=self.log
            )
            self.provide(LIMITS, self._limits)
            try:
                yield
            finally:
                limits, self._limits = self._limits, None
                await limits.close()

    @hookimpl
    def register_gauges(self) -> list[Gauge]:
        """Whether limits are shared."""
        return [
            Gauge(
                name="famulus_redis_away",
                help="1 while Redis is away: each process keeps to its share of every limit.",
                read=lambda: float(self._limits is None or self._limits.away_because is not None),
            )
        ]

    @hookimpl
    async def check_health(self) -> Health:
        """Whether limits are shared now."""
        if self._limits is None:
            return Health(status="down", detail="not connected")
        reason = await self._limits.probe()
        if reason is None:
            return Health()
        share = f"this process keeps to 1/{self.settings.replicas} of each limit"
        return Health(status="degraded", detail=f"Redis is away ({reason}); {share}")


def _check_driver() -> None:
    # redis is an extra: what needs it is imported only once it is known to be there.
    try:
        import redis.asyncio  # noqa: F401
    except ModuleNotFoundError as error:
        raise DriverMissing('redis is not installed: pip install "famulus[redis]"') from error
