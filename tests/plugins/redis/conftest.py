"""A real Redis: FAMULUS_TEST_REDIS is its URL, or it is on this machine's usual port."""

from __future__ import annotations

import os

import pytest

LOCAL_REDIS = "redis://127.0.0.1:6379/0"


@pytest.fixture(scope="session")
def redis_url() -> str:
    redis = pytest.importorskip("redis", reason="NOT TESTED: redis is not installed")
    url = os.environ.get("FAMULUS_TEST_REDIS") or LOCAL_REDIS
    client = redis.Redis.from_url(url, socket_connect_timeout=5)
    try:
        client.ping()
    except redis.ConnectionError:
        if "FAMULUS_TEST_REDIS" in os.environ:
            raise
        pytest.skip("NO REDIS: set FAMULUS_TEST_REDIS to the URL of a server for tests")
    finally:
        client.close()
    return url
