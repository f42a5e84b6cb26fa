"""Limits in a real Redis keep every promise of LIMITS, and those of a Redis that goes away."""

from __future__ import annotations

import asyncio
import re
import secrets
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest
import redis

from famulus import NoSettings, Plugin, Secret, need
from famulus.lifecycle import BootError
from famulus.testing import FixedClock, conformance_for, kernel_with
from famulus.testing.kit import quiet_log
from famulus.testing.limits_conformance import limit
from famulus.testing.slots_conformance import OpenLimits, hold
from famulus_redis.connection import open_redis
from famulus_redis.limits import SharedLimits
from famulus_redis.settings import RedisSettings
from famulus_schemas.limits import Full, Limits, Refused, Taken
from famulus_schemas.ports import LIMITS

pytestmark = pytest.mark.anyio

NOWHERE = "redis://127.0.0.1:1/0"


class User(Plugin[NoSettings]):
    """Uses limits."""

    name = "user"
    limits = need(LIMITS)


class Recorded:
    """A log that remembers what was told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def info(self, event: str, **_: Any) -> None:
        self.told.append(event)

    error = info


@asynccontextmanager
async def opened(
    url: str,
    prefix: str,
    clock: Callable[[], float] | None = None,
    *,
    local_clock: Callable[[], float] = FixedClock(),
    log: Any = None,
    **more: Any,
) -> AsyncIterator[SharedLimits]:
    settings = RedisSettings(url=Secret(url), prefix=prefix, **{"timeout_s": 30.0, **more})
    async with open_redis(settings) as client:
        yield SharedLimits(
            client, settings, local_clock=local_clock, log=log or quiet_log(), clock=clock
        )


@pytest.fixture
def prefix() -> str:
    return f"test-{secrets.token_hex(6)}:"


@pytest.fixture
def relay(redis_url: str) -> Relay:
    return Relay(redis_url)


class Relay:
    """A way to the real Redis that can be cut."""

    def __init__(self, url: str) -> None:
        parts = re.match(r"redis://([^:/]+):(\d+)", url)
        assert parts is not None
        self._target = (parts[1], int(parts[2]))
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self.port = 0
        self.connections = 0

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    async def open(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def cut(self) -> None:
        assert self._server is not None
        self._server.close()
        for writer in tuple(self._writers):
            writer.transport.abort()
        self._writers.clear()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        to_reader, to_writer = await asyncio.open_connection(*self._target)
        self._writers |= {writer, to_writer}
        await asyncio.gather(_pour(reader, to_writer), _pour(to_reader, writer))


async def _pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    except OSError:
        pass
    finally:
        writer.close()


class TestRedis(conformance_for(LIMITS)):  # type: ignore[misc]
    @pytest.fixture
    def open_limits(self, redis_url: str, prefix: str) -> OpenLimits:
        return lambda clock: opened(redis_url, prefix, clock)


async def test_the_plugin_provides_limits_in_place_of_those_in_memory(
    redis_url: str, prefix: str
) -> None:
    tables = {"redis": {"url": redis_url, "prefix": prefix}}
    async with kernel_with("redis", "memory_limits", User, settings=tables) as server:
        assert server.state("redis") == ("running", "")
        assert server.state("memory_limits")[0] == "off"
        limits: Limits = server.plugin("user").limits
        slow = limit(rate=0.001, burst=1)
        assert isinstance(await limits.take("p", [slow]), Taken)
        refused = await limits.take("p", [slow])
        assert isinstance(refused, Refused)
        assert 900 < refused.retry_after_s <= 1000
        assert (await server.plugin("redis").check_health()).status == "ok"


async def test_without_a_url_the_plugin_is_off() -> None:
    async with kernel_with("redis", "memory_limits", User) as server:
        assert server.state("redis") == ("off", "no url is set")
        assert server.state("memory_limits")[0] == "running"


async def test_a_url_that_is_none_is_told() -> None:
    tables = {"redis": {"url": "http://127.0.0.1:6379"}}
    with pytest.raises(BootError, match=r"\[plugins.redis\] url"):
        async with kernel_with("redis", settings=tables):
            pass


async def test_keys_of_one_project_are_in_one_slot_and_tell_nothing(
    redis_url: str, prefix: str
) -> None:
    async with opened(redis_url, prefix) as limits:
        await limits.take("acme", [limit("requests of key_1"), limit("tokens of key_1")])
    client = redis.Redis.from_url(redis_url)
    keys = [key.decode() for key in client.keys(f"{prefix}*")]
    lives_ms = [client.pttl(key) for key in keys]
    client.close()
    assert len(keys) == 2
    assert len({re.findall(r"\{(.+?)\}", key)[0] for key in keys}) == 1
    assert not any(word in key for key in keys for word in ("acme", "key_1"))
    assert all(0 < life <= 61_000 for life in lives_ms)


TAKER = """
import asyncio, sys
from famulus import Secret
from famulus.testing.kit import quiet_log
from famulus_redis.connection import open_redis
from famulus_redis.limits import SharedLimits
from famulus_redis.settings import RedisSettings
from famulus_schemas.limits import Limit, Taken

async def main(url, prefix):
    settings = RedisSettings(url=Secret(url), prefix=prefix, timeout_s=30.0)
    async with open_redis(settings) as client:
        limits = SharedLimits(client, settings, local_clock=lambda: 0.0, log=quiet_log())
        # A unit comes back in 28 hours: what is admitted is the burst, exactly.
        both = [
            Limit(key="requests", rate=1e-5, burst=3000),
            Limit(key="tokens", rate=1e-5, burst=20_000, cost=5),
        ]
        print("ready", flush=True)
        sys.stdin.readline()
        taken = 0
        for _ in range(300):
            outcomes = await asyncio.gather(*(limits.take("p", both) for _ in range(10)))
            taken += sum(isinstance(one, Taken) for one in outcomes)
        assert limits.away_because is None
        print(taken)

asyncio.run(main(*sys.argv[1:]))
"""


def test_two_processes_together_are_admitted_exactly_what_one_would_be(
    redis_url: str, prefix: str
) -> None:
    takers = [
        subprocess.Popen(
            [sys.executable, "-c", TAKER, redis_url, prefix],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    for taker in takers:
        assert taker.stdout is not None
        assert taker.stdout.readline() == "ready\n"
    for taker in takers:
        assert taker.stdin is not None
        taker.stdin.write("go\n")
        taker.stdin.flush()
    taken = [int(taker.communicate(timeout=120)[0]) for taker in takers]
    assert sum(taken) == 3000
    assert all(taken)


HOLDER = """
import asyncio, sys
from famulus import Secret
from famulus.testing.kit import quiet_log
from famulus_redis.connection import open_redis
from famulus_redis.limits import SharedLimits
from famulus_redis.settings import RedisSettings
from famulus_schemas.limits import Hold, Slot, Taken

async def main(url, prefix, name, dies):
    settings = RedisSettings(url=Secret(url), prefix=prefix, timeout_s=30.0)
    async with open_redis(settings) as client:
        limits = SharedLimits(client, settings, local_clock=lambda: 0.0, log=quiet_log())
        slots = (Slot(key="key", at_once_max=7), Slot(key="project", at_once_max=9))
        look = (Slot(key="key", at_once_max=99),)
        print("ready", flush=True)
        sys.stdin.readline()
        taken, most = 0, 0
        async def work(at):
            nonlocal taken, most
            hold = Hold(holder=f"{name}{at}", slots=slots, lease_s=1000.0)
            while not isinstance(await limits.hold("p", hold), Taken):
                await asyncio.sleep(0.001)
            most = max(most, *await limits.held("p", look))
            taken += 1
            if dies == "dies":
                return
            await limits.release("p", hold)
        await asyncio.gather(*(work(at) for at in range(3 if dies == "dies" else 60)))
        assert limits.away_because is None
        print(taken, most)

asyncio.run(main(*sys.argv[1:]))
"""


def test_two_processes_together_hold_no_more_than_one_could(redis_url: str, prefix: str) -> None:
    def holder(name: str, ends: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-c", HOLDER, redis_url, prefix, name, ends],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    holders = [holder("a", "goes on"), holder("b", "goes on")]
    for each in holders:
        assert each.stdout is not None
        assert each.stdout.readline() == "ready\n"
    for each in holders:
        assert each.stdin is not None
        each.stdin.write("go\n")
        each.stdin.flush()
    told = [each.communicate(timeout=120)[0].split() for each in holders]
    assert [int(taken) for taken, _ in told] == [60, 60]
    assert max(int(most) for _, most in told) == 7


async def test_what_a_dead_process_held_is_free_when_its_lease_is_over(
    redis_url: str, prefix: str
) -> None:
    await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-c", HOLDER, redis_url, prefix, "a", "dies"],
        input="go\n",
        text=True,
        check=True,
        stdout=subprocess.DEVNULL,
    )
    async with opened(redis_url, prefix) as limits:
        narrow = hold("run_1", "key", at_once_max=3)
        assert await limits.hold("p", narrow) == Full(which=0, held=(3,))
    clock = FixedClock(time.time() + 1100)
    async with opened(redis_url, prefix, clock) as limits:
        assert isinstance(await limits.hold("p", narrow), Taken)


# --- a Redis that goes away ----------------------------------------------------------------------


async def test_while_redis_is_away_each_process_keeps_to_its_share(prefix: str) -> None:
    log = Recorded()
    async with opened(NOWHERE, prefix, log=log, replicas=4, retry_s=3600.0) as limits:
        outcomes = [await limits.take("p", [limit(burst=20)]) for _ in range(8)]
        # A cost above the share takes all of it, and is admitted in its turn.
        large = await limits.take("p", [limit("large", burst=20, cost=15)])
        again = await limits.take("p", [limit("large", burst=20, cost=15)])
    assert [type(one) for one in outcomes] == [Taken] * 5 + [Refused] * 3
    assert isinstance(large, Taken)
    assert isinstance(again, Refused)
    assert again.retry_after_s == pytest.approx(20, abs=0.01)
    assert log.told == ["redis_is_away"]


async def test_of_a_limit_of_less_than_its_replicas_one_is_left(prefix: str) -> None:
    async with opened(NOWHERE, prefix, replicas=8, retry_s=3600.0) as limits:
        outcomes = [await limits.take("p", [limit(burst=2)]) for _ in range(3)]
    assert [type(one) for one in outcomes] == [Taken, Refused, Refused]


async def test_while_redis_is_away_each_process_holds_its_share_of_slots(prefix: str) -> None:
    async with opened(NOWHERE, prefix, replicas=3, retry_s=3600.0) as limits:
        outcomes = [
            await limits.hold("p", hold(f"run_{at}", at_once_max=7, narrow=2)) for at in range(2)
        ]
        wide = [await limits.hold("p", hold(f"run_{at}", at_once_max=7)) for at in range(4)]
        assert await limits.held("p", hold("", "a").slots) == (2,)
        await limits.release("p", hold("run_0", "a"))
        assert isinstance(await limits.hold("p", hold("run_9", at_once_max=7)), Taken)
    # Of two for three processes each has one.
    assert [type(one) for one in outcomes] == [Taken, Full]
    assert [type(one) for one in wide] == [Taken, Taken, Full, Full]


async def test_a_redis_that_forgot_who_is_at_work_is_told_again(
    redis_url: str, relay: Relay, prefix: str
) -> None:
    await relay.open()
    clock = FixedClock()
    async with (
        opened(relay.url, prefix, clock, replicas=2, retry_s=1e-9) as limits,
        opened(redis_url, prefix, clock) as others,
    ):
        first, second = hold("run_1", at_once_max=2), hold("run_2", at_once_max=2)
        await limits.hold("p", first)
        await relay.cut()
        # What it held by Redis it holds still: its share is used up.
        assert isinstance(await limits.hold("p", second), Full)
        client = redis.Redis.from_url(redis_url)
        client.delete(*client.keys(f"{prefix}*"))
        client.close()
        await relay.open()
        await limits.renew("p", first)
        assert await others.held("p", first.slots) == (1,)
    await relay.cut()


async def test_a_redis_that_is_lost_and_back_is_told_once_each(relay: Relay, prefix: str) -> None:
    log = Recorded()
    await relay.open()
    async with opened(relay.url, prefix, FixedClock(), log=log, retry_s=1e-9) as limits:
        assert (await limits.take("p", [limit()])).standings[0].remaining == 9
        await relay.cut()
        for _ in range(3):
            await limits.take("p", [limit()])
        assert limits.away_because is not None
        await relay.open()
        # What was taken meanwhile was taken here alone.
        assert (await limits.take("p", [limit()])).standings[0].remaining == 8
        assert limits.away_because is None
    await relay.cut()
    assert log.told == ["redis_is_away", "redis_is_back"]


async def test_a_connection_that_was_closed_while_idle_is_made_anew(
    relay: Relay, prefix: str
) -> None:
    log = Recorded()
    await relay.open()
    async with opened(relay.url, prefix, FixedClock(), log=log) as limits:
        await limits.take("p", [limit()])
        await relay.cut()
        await relay.open()
        assert (await limits.take("p", [limit()])).standings[0].remaining == 8
    await relay.cut()
    assert log.told == []


async def test_a_redis_that_does_not_answer_is_not_waited_for_again(
    prefix: str,
) -> None:
    asked = 0

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        asked += 1
        await reader.read()
        writer.close()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    url = f"redis://127.0.0.1:{port}/0"
    async with opened(url, prefix, timeout_s=0.05, retry_s=3600.0) as limits:
        outcomes = [await limits.take("p", [limit(burst=2)]) for _ in range(3)]
        assert asked == 1
        assert limits.away_because is not None
    server.close()
    assert [type(one) for one in outcomes] == [Taken, Taken, Refused]


async def test_what_is_seen_of_all_processes_is_nothing_while_redis_is_away(
    redis_url: str, prefix: str
) -> None:
    taken = limit(rate=0.001, burst=5, cost=2)
    async with opened(redis_url, prefix) as one, opened(redis_url, prefix) as two:
        await one.take("p", [taken])
        seen = await two.seen("p", [taken], ())
        assert seen is not None
        assert [round(each.remaining) for each in seen.standings] == [3]
    async with opened(NOWHERE, prefix) as alone:
        await alone.take("p", [taken])
        assert await alone.seen("p", [taken], ()) is None


async def test_health_says_that_limits_are_not_shared(prefix: str) -> None:
    tables = {"redis": {"url": NOWHERE, "prefix": prefix, "replicas": 3}}
    async with kernel_with("redis", User, settings=tables) as server:
        assert server.state("redis") == ("running", "")
        health = await server.plugin("redis").check_health()
    assert health.status == "degraded"
    assert "keeps to 1/3 of each limit" in health.detail


def test_the_url_is_never_shown() -> None:
    settings = RedisSettings(url=Secret("redis://:hunter2@redis.example/0"))
    assert "hunter2" not in repr(settings)
    assert "hunter2" not in msgspec.json.encode(settings, enc_hook=str).decode()
