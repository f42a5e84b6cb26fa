"""Questions to a script in Redis that go there together, and each has its own answer."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest
from redis.asyncio import Redis

from famulus import Secret
from famulus_redis.asking import TOGETHER_MAX, Asking
from famulus_redis.connection import open_redis
from famulus_redis.settings import RedisSettings

pytestmark = pytest.mark.anyio

ECHO = "if ARGV[1] == 'fails' then return redis.error_reply('no') end return {ARGV[1], KEYS[1]}"
"""Answers with what it is asked, and is of this test alone."""


@asynccontextmanager
async def opened(url: str, *, timeout_s: float = 30.0) -> AsyncIterator[tuple[Redis, Asking]]:
    settings = RedisSettings(url=Secret(url), timeout_s=timeout_s)
    async with open_redis(settings) as client:
        script = f"-- {secrets.token_hex(8)}\n{ECHO}"
        asking = Asking(client, script, timeout_s=timeout_s)
        try:
            yield client, asking
        finally:
            await asking.close()


async def calls(client: Redis) -> int:
    """How often Redis has run this kind of command."""
    stats: dict[str, Any] = await client.info("commandstats")
    return int(stats.get("cmdstat_evalsha", {}).get("calls", 0))


async def test_each_of_many_has_its_own_answer(redis_url: str) -> None:
    async with opened(redis_url) as (_, asking):
        many = [str(number) for number in range(3 * TOGETHER_MAX)]
        answers = await asyncio.gather(*(asking.ask(["key"], [each]) for each in many))
    assert answers == [[each.encode(), b"key"] for each in many]


async def test_many_of_one_turn_take_one_connection(redis_url: str) -> None:
    name = f"test-{secrets.token_hex(6)}"
    sign = "&" if "?" in redis_url else "?"
    async with opened(f"{redis_url}{sign}client_name={name}") as (client, asking):
        await asyncio.gather(*(asking.ask(["key"], [str(n)]) for n in range(TOGETHER_MAX)))
        ours = [each for each in await client.client_list() if each["name"] == name]
    assert len(ours) == 1


async def test_one_that_fails_fails_alone(redis_url: str) -> None:
    async with opened(redis_url) as (_, asking):
        asked = (asking.ask(["key"], [each]) for each in ("a", "fails", "b"))
        a, failed, b = await asyncio.gather(*asked, return_exceptions=True)
    assert (a, b) == ([b"a", b"key"], [b"b", b"key"])
    assert isinstance(failed, Exception)
    assert "no" in str(failed)


async def test_a_script_that_redis_has_forgotten_is_told_again(redis_url: str) -> None:
    async with opened(redis_url) as (client, asking):
        assert await asking.ask(["key"], ["1"]) == [b"1", b"key"]
        await cast(Awaitable[Any], client.script_flush())
        asked = (asking.ask(["key"], [each]) for each in ("2", "3"))
        assert await asyncio.gather(*asked) == [[b"2", b"key"], [b"3", b"key"]]


async def test_who_leaves_before_asks_nothing(redis_url: str) -> None:
    async with opened(redis_url) as (client, asking):
        await asking.ask(["key"], ["1"])
        before = await calls(client)
        leaves = asyncio.ensure_future(asking.ask(["key"], ["2"]))
        stays = asyncio.ensure_future(asking.ask(["key"], ["3"]))
        await asyncio.sleep(0)
        leaves.cancel()
        assert await stays == [b"3", b"key"]
        assert leaves.cancelled()
        # Others may use this Redis at the same time, but hardly ask it less.
        assert await calls(client) >= before + 1


async def test_whoever_waits_at_the_end_waits_no_longer() -> None:
    reached = asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        reached.set()
        await reader.read()
        writer.close()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    async with server, opened(f"redis://{host}:{port}") as (_, asking):
        waits = asyncio.ensure_future(asking.ask(["key"], ["1"]))
        await reached.wait()
        await asking.close()
        with pytest.raises(asyncio.CancelledError):
            await waits
