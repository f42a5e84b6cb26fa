"""Servers with limits, and the official client of them."""

from __future__ import annotations

from tests.plugins.redis.conftest import redis_url

__all__ = ["redis_url"]
