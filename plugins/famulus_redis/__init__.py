"""Rate limits in Redis or Valkey, for all processes that share it."""

from famulus_redis.plugin import Redis

__all__ = ["Redis"]
