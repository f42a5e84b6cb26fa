"""A server that others can reach does not start with a key that they would guess."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from famulus.lifecycle import BootError
from famulus.log import make_log
from famulus.testing import make_kernel
from famulus.testing.transport import InProcess
from famulus_keys.strength import weakness
from famulus_keys.tokens import RANDOM_BYTES, make_token

pytestmark = pytest.mark.anyio

WEAK = [
    "x",
    "test",
    "EMPTY",
    "sk-1234",
    "secret-secret",
    "a" * 64,
    "sk-sk-sk-sk-sk-sk-sk-sk-sk-sk",
    "sk-changeme-changeme-and-more",
    "YOUR-API-KEY-GOES-HERE-PLEASE",
    "my-very-long-Password-of-2026",
    "sk-12345678901234567890abcd",
]
STRONG = "qUwsyR5cEoL9m3vTz0bXd7hJk2fG"


def started(tmp_path: Path, host: str, **keys: str) -> Any:
    settings = {"server": {"host": host, "port": 0}, "keys": keys}
    return make_kernel("sqlite", "keys", data_dir=tmp_path, settings=settings)


@pytest.mark.parametrize("name", ["api_key", "admin_api_key"])
@pytest.mark.parametrize("key", WEAK)
async def test_a_weak_key_ends_the_start_of_a_server_that_others_reach(
    name: str, key: str, tmp_path: Path
) -> None:
    kernel = started(tmp_path, "0.0.0.0", **{name: key})
    with pytest.raises(BootError) as refused:
        await kernel.start()
    message = str(refused.value)
    assert f"[plugins.keys] {name} is too weak" in message
    assert "openssl rand" in message
    # It is not repeated, unless it is a word of the sentence.
    assert len(key) < 8 or key not in message


async def test_on_this_machine_alone_any_key_will_do(tmp_path: Path) -> None:
    for host in ("127.0.0.1", "localhost", "::1"):
        kernel = started(tmp_path, host, api_key="x")
        await kernel.start()
        await kernel.stop()


async def test_a_strong_key_or_none_will_do_anywhere(tmp_path: Path) -> None:
    for keys in ({"api_key": STRONG, "admin_api_key": STRONG[::-1]}, {}):
        kernel = started(tmp_path, "0.0.0.0", **keys)
        await kernel.start()
        await kernel.stop()


async def test_without_anybody_who_knows_keys_nobody_is_let_in(tmp_path: Path) -> None:
    """No setting lets everybody in: where keys are off, all are turned away."""
    settings = {"server": {"host": "0.0.0.0"}, "keys": {"enabled": False}}
    log = make_log("critical", "json", stream=io.StringIO())
    kernel = make_kernel("sqlite", "keys", data_dir=tmp_path, settings=settings, log=log)
    await kernel.start()
    try:
        async with httpx.AsyncClient(transport=InProcess(kernel), base_url="http://x") as client:
            answer = await client.get("/-/plugins", headers={"authorization": "Bearer x"})
        assert answer.status_code == 401
    finally:
        await kernel.stop()


@given(st.binary(min_size=RANDOM_BYTES, max_size=RANDOM_BYTES))
def test_the_keys_that_we_make_are_strong(random: bytes) -> None:
    assume(len(set(random)) > 7)
    assert weakness(make_token(random)) is None
