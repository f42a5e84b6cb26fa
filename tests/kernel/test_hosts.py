"""By which names a server may be asked, so that no page of a stranger's gets to it by its own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from famulus.front import Front
from famulus.hosts import hosts_of
from famulus.kernel import Kernel
from famulus.listening import is_loopback
from famulus.mistakes import ConfigError
from famulus.server_settings import ServerSettings
from famulus.testing import live_server, make_kernel
from famulus_schemas.errors import Problem

pytestmark = pytest.mark.anyio


def passes(host: str | bytes, settings: ServerSettings) -> bool:
    hosts = Front(settings).hosts
    if hosts is None:
        return True
    value = host.encode() if isinstance(host, str) else host
    try:
        hosts.hold([(b"accept", b"*/*"), (b"host", value)])
    except Problem:
        return False
    return True


LOOPBACK = ServerSettings(host="127.0.0.1")
PUBLIC = ServerSettings(host="0.0.0.0")
NAMED = ServerSettings(host="0.0.0.0", hosts=["api.example.com", "*.Apps.example.com"])
BEHIND = ServerSettings(host="127.0.0.1", hosts=["api.example.com"])


@pytest.mark.parametrize(
    ("host", "loopback", "named", "behind"),
    [
        ("127.0.0.1", True, True, True),
        ("127.0.0.1:8400", True, True, True),
        ("127.5.5.5:1", True, True, True),
        ("localhost", True, True, True),
        ("LOCALHOST:8400", True, True, True),
        ("localhost.", True, True, True),
        ("[::1]:8400", True, True, True),
        ("[::1]", True, True, True),
        ("[localhost]evil.example", False, False, False),
        ("[127.0.0.1].evil.example", False, False, False),
        # What is found right is remembered, and would fill the memory.
        ("127.0.0.1:" + "0" * 300, False, False, False),
        ("[::1%" + "x" * 300 + "]", False, False, False),
        # By address: what asks is no page of somebody's name. So do health checks of pods.
        ("10.1.2.3:8400", False, True, False),
        ("[2001:db8::1]:8400", False, True, False),
        ("api.example.com", False, True, True),
        ("API.example.com:443", False, True, True),
        ("api.example.com.", False, True, True),
        ("x.apps.example.com", False, True, False),
        ("x.y.apps.example.com", False, True, False),
        ("apps.example.com", False, False, False),
        ("xapps.example.com", False, False, False),
        ("example.com", False, False, False),
        ("evil.example", False, False, False),
        ("api.example.com.evil.example", False, False, False),
        ("localhost.evil.example", False, False, False),
        ("127.0.0.1.evil.example", False, False, False),
        ("evil.example:127.0.0.1", False, False, False),
        ("127.0.0.1@evil.example", False, False, False),
        ("127.1", False, False, False),
        ("2130706433", False, False, False),
        ("0x7f.0.0.1", False, False, False),
        ("[::1", True, True, True),
        ("", False, False, False),
        ("\xff", False, False, False),
    ],
)
def test_a_server_is_called_by_its_own_names_only(
    host: str, loopback: bool, named: bool, behind: bool
) -> None:
    assert passes(host, LOOPBACK) is loopback
    assert passes(host, NAMED) is named
    assert passes(host, BEHIND) is behind
    assert passes(host, PUBLIC)


def test_a_host_that_passed_once_passes_again_and_another_still_does_not() -> None:
    hosts = Front(LOOPBACK).hosts
    assert hosts is not None
    for _ in range(3):
        hosts.hold([(b"host", b"localhost:1")])
        with pytest.raises(Problem):
            hosts.hold([(b"host", b"evil.example")])


def test_of_two_hosts_each_is_looked_at() -> None:
    hosts = Front(LOOPBACK).hosts
    assert hosts is not None
    with pytest.raises(Problem):
        hosts.hold([(b"host", b"localhost"), (b"host", b"evil.example")])


@given(st.binary(max_size=300))
def test_any_bytes_are_judged_without_error(host: bytes) -> None:
    passes(host, NAMED)


def test_the_name_that_it_listens_by_is_one_of_its_own() -> None:
    hosts = hosts_of([], host="My-Box", on_loopback=True)
    assert hosts is not None
    hosts.hold([(b"host", b"my-box:8400")])


def test_a_star_is_any_name_on_loopback_too() -> None:
    assert passes("evil.example", ServerSettings(hosts=["*"]))


@pytest.mark.parametrize("name", ["http://x", "x:8400", "*x", "a.*", "a b", "a/b", "", "*."])
def test_what_is_no_host_is_refused_at_the_start(name: str) -> None:
    with pytest.raises(ConfigError, match=r"\[server\] hosts: .* is no host"):
        Front(ServerSettings(hosts=[name]))


@pytest.mark.parametrize(
    ("host", "is_it"),
    [
        ("127.0.0.1", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("192.0.2.1", False),
        ("no.invalid", False),
    ],
)
def test_what_listens_for_this_machine_alone_is_known(host: str, is_it: bool) -> None:
    assert is_loopback(host) is is_it


# --- on a socket ---------------------------------------------------------------------------------


@asynccontextmanager
async def serving(kernel: Kernel) -> AsyncIterator[httpx.AsyncClient]:
    async with live_server(kernel) as url, httpx.AsyncClient(base_url=url) as client:
        yield client


@pytest.mark.parametrize("path", ["/health/live", "/docs", "/openapi.json", "/-/plugins", "/v1/x"])
async def test_whoever_calls_it_otherwise_is_told_before_any_key_is_looked_at(
    path: str, tmp_path: Path
) -> None:
    kernel = make_kernel("keys", "sqlite", data_dir=tmp_path, settings={"server": {"hosts": []}})
    async with serving(kernel) as client:
        answer = await client.get(path, headers={"host": "evil.example"})
        assert answer.status_code == 421
        assert answer.json()["error"]["code"] == "wrong_host"
        assert "[server] hosts" in answer.json()["error"]["message"]
        assert answer.headers["x-request-id"].startswith("req_")
        right = await client.get(path)
        assert right.status_code in (200, 401)


async def test_a_probe_that_asks_a_pod_by_its_address_is_answered(tmp_path: Path) -> None:
    settings = {"server": {"host": "0.0.0.0", "hosts": ["api.example.com"]}}
    kernel = make_kernel("keys", "sqlite", data_dir=tmp_path, settings=settings)
    async with serving(kernel) as client:
        for host in ("10.42.0.17:8400", "api.example.com"):
            answer = await client.get("/health/ready", headers={"host": host})
            assert answer.status_code == 200
        answer = await client.get("/health/ready", headers={"host": "evil.example"})
        assert answer.status_code == 421
