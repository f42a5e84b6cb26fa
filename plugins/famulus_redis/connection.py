"""The connections to Redis."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from famulus import CannotStart

if TYPE_CHECKING:
    from famulus_redis.settings import RedisSettings


@asynccontextmanager
async def open_redis(settings: RedisSettings) -> AsyncIterator[Redis]:
    """A client that connects when it is first used. Raises CannotStart for a URL that is none."""
    assert settings.url is not None
    try:
        pool = BlockingConnectionPool.from_url(
            settings.url.reveal(),
            max_connections=settings.connections_max,
            timeout=settings.timeout_s,
            socket_timeout=settings.timeout_s,
            socket_connect_timeout=settings.timeout_s,
            # A connection that Redis has closed while it was idle is made anew, once.
            retry=Retry(NoBackoff(), 1),
        )
    except ValueError as error:
        raise CannotStart(f"[plugins.redis] url: {error}") from error
    client = Redis.from_pool(pool)
    try:
        yield client
    finally:
        await client.aclose()
