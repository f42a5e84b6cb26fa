"""Two servers, each a process of its own, whose clients have one limit together, in Redis."""

from __future__ import annotations

import secrets
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import openai
import pytest
import redis
from tests.e2e.serving import Served, serve

RPM = 30


@pytest.fixture
def redis_variables(redis_url: str) -> dict[str, str]:
    prefix = f"e2e-{secrets.token_hex(6)}:"
    return {
        "FAMULUS_REDIS__URL": redis_url,
        "FAMULUS_REDIS__PREFIX": prefix,
        "FAMULUS_REDIS__TIMEOUT_S": "30",
    }


def admitted(served: Served) -> int:
    """How many of as many requests as are allowed to both are admitted by one."""
    refused: list[openai.RateLimitError] = []
    with served.client().with_options(max_retries=0) as client:
        for _ in range(RPM):
            try:
                client.models.list()
            except openai.RateLimitError as error:
                refused.append(error)
    assert {error.code for error in refused} <= {"rate_limit_exceeded"}
    waits_ms = [float(error.response.headers["retry-after-ms"]) for error in refused]
    assert all(0 < wait_ms <= 60_000 / RPM + 1 for wait_ms in waits_ms)
    return RPM - len(refused)


def test_the_clients_of_two_servers_are_admitted_what_those_of_one_would_be(
    redis_variables: dict[str, str], tmp_path: Path
) -> None:
    variables = {
        **redis_variables,
        "FAMULUS_OPENAI_COMPATIBLE__DISCOVER": "false",
        "FAMULUS_RATE_LIMITS__REQUESTS_PER_MINUTE": str(RPM),
    }
    with (
        serve(tmp_path / "one", environment=variables) as one,
        serve(tmp_path / "two", environment=variables) as two,
        ThreadPoolExecutor(2) as pool,
    ):
        key = redis.Redis.from_url(variables["FAMULUS_REDIS__URL"])
        started = redis_seconds(key)
        first, second = pool.map(admitted, (one, two))
        passed_s = redis_seconds(key) - started
        # A minute's worth at once, and what came back meanwhile: by Redis's own clock.
        assert RPM <= first + second <= RPM + passed_s * RPM / 60 + 1e-6
        assert min(first, second) > 0
        with one.client() as client:
            # It waits as it is told, and is let in.
            assert client.models.list().data
        key.close()
    assert not [event for event in one.events() + two.events() if event["level"] == "error"]


def redis_seconds(client: redis.Redis) -> float:
    seconds, microseconds = client.time()  # type: ignore[misc]
    return float(seconds) + microseconds / 1e6
