"""Who asks, where a proxy is between: only those that are listed are believed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from famulus import Call, NoSettings, Operation, Plugin, hookimpl, operation, operations
from famulus.kernel import Kernel
from famulus.mistakes import ConfigError
from famulus.server import Server
from famulus.testing import live_server, make_kernel

pytestmark = pytest.mark.anyio


class Seen(msgspec.Struct):
    client: str


class Mirror(Plugin[NoSettings]):
    """Says from where it is asked."""

    name = "mirror"

    @hookimpl
    def register_operations(self) -> list[Operation]:
        return operations(self)

    @operation("GET", "/client", action="mirror.read")
    async def client(self, call: Call) -> Seen:
        """The address."""
        return Seen(call.client)


def kernel(tmp_path: Path, proxies: Sequence[str], *plugins: Any, **more: Any) -> Kernel:
    settings = {"server": {"trusted_proxies": list(proxies), **more}}
    return make_kernel(*(plugins or (Mirror,)), data_dir=tmp_path, settings=settings)


async def seen(tmp_path: Path, proxies: Sequence[str], headers: Sequence[tuple[str, str]]) -> str:
    async with live_server(kernel(tmp_path, proxies)) as url, httpx.AsyncClient() as client:
        answer = await client.get(f"{url}/client", headers=headers)
        return str(answer.json()["client"])


FOR = "x-forwarded-for"
US = "127.0.0.1"


@pytest.mark.parametrize(
    ("proxies", "headers", "client"),
    [
        # Nobody is trusted where nobody is listed, this machine no more than another.
        ([], [(FOR, "203.0.113.9")], US),
        ([], [("x-real-ip", "203.0.113.9"), ("forwarded", "for=203.0.113.9")], US),
        (["10.0.0.0/8"], [(FOR, "203.0.113.9")], US),
        (["127.0.0.0/8"], [], US),
        (["127.0.0.0/8"], [(FOR, "203.0.113.9")], "203.0.113.9"),
        (["127.0.0.1"], [(FOR, "203.0.113.9")], "203.0.113.9"),
        # What the client itself had sent stands before what the proxy saw.
        (["127.0.0.0/8"], [(FOR, "198.51.100.1, 203.0.113.9")], "203.0.113.9"),
        (["127.0.0.0/8"], [(FOR, "198.51.100.1"), (FOR, "203.0.113.9")], "203.0.113.9"),
        (["127.0.0.0/8"], [(FOR, "127.0.0.1, 203.0.113.9")], "203.0.113.9"),
        # Of a chain of proxies each is left out that is listed.
        (["127.0.0.0/8", "10.0.0.0/8"], [(FOR, "203.0.113.9, 10.1.1.1, 10.2.2.2")], "203.0.113.9"),
        (["127.0.0.0/8", "10.0.0.0/8"], [(FOR, "6.6.6.6, 203.0.113.9, 10.1.1.1")], "203.0.113.9"),
        (["127.0.0.0/8"], [(FOR, "203.0.113.9, 10.1.1.1")], "10.1.1.1"),
        (["127.0.0.0/8"], [(FOR, "[2001:db8::1]:4711")], "2001:db8::1"),
        (["127.0.0.0/8"], [(FOR, "2001:db8::1")], "2001:db8::1"),
        (["127.0.0.0/8"], [(FOR, "203.0.113.9:4711")], "203.0.113.9"),
        (["127.0.0.0/8"], [(FOR, "")], US),
        (["127.0.0.0/8"], [("x-real-ip", "203.0.113.9")], US),
    ],
)
async def test_the_client_is_the_last_that_is_no_listed_proxy(
    proxies: list[str], headers: list[tuple[str, str]], client: str, tmp_path: Path
) -> None:
    assert await seen(tmp_path, proxies, headers) == client


@pytest.mark.parametrize(("proxies", "believed"), [([], False), (["127.0.0.1"], True)])
async def test_only_a_listed_proxy_is_believed_that_it_was_asked_by_https(
    proxies: list[str], believed: bool, tmp_path: Path
) -> None:
    # Another address than loopback, so that browsers are told of it at all.
    started = kernel(tmp_path, proxies, host="0.0.0.0")
    async with live_server(started) as url, httpx.AsyncClient() as client:
        port = url.rpartition(":")[2]
        answer = await client.get(
            f"http://127.0.0.1:{port}/client", headers={"x-forwarded-proto": "https"}
        )
        assert ("strict-transport-security" in answer.headers) is believed


async def wrong_keys(
    url: str, count: int, headers: Mapping[str, str], *, each: bool = False
) -> list[int]:
    """Statuses of so many wrong keys, from an address that is named anew each time or not."""
    async with httpx.AsyncClient(base_url=url) as client:
        statuses = []
        for number in range(count):
            forwarded = {FOR: f"203.0.113.{number}"} if each else dict(headers)
            answer = await client.get(
                "/-/plugins", headers={"authorization": f"Bearer wrong-{number}", **forwarded}
            )
            statuses.append(answer.status_code)
        return statuses


async def test_wrong_keys_count_for_whom_the_proxy_names(tmp_path: Path) -> None:
    plugins = ("keys", "sqlite", "rate_limits", "memory_limits")
    async with live_server(kernel(tmp_path, ["127.0.0.1"], *plugins)) as url:
        assert await wrong_keys(url, 22, {FOR: "203.0.113.9"}) == [401] * 20 + [429] * 2
        assert await wrong_keys(url, 1, {FOR: "203.0.113.10"}) == [401]


async def test_nobody_escapes_the_count_of_wrong_keys_by_naming_others(tmp_path: Path) -> None:
    plugins = ("keys", "sqlite", "rate_limits", "memory_limits")
    async with live_server(kernel(tmp_path, [], *plugins)) as url:
        assert await wrong_keys(url, 22, {}, each=True) == [401] * 20 + [429] * 2


@pytest.mark.parametrize("given", ["10.0.0.0/33", "proxy.example.com", "10.0.0.1/8", "*", ""])
def test_what_is_no_network_is_refused_at_the_start(given: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"\[server\] trusted_proxies: "):
        Server(kernel(tmp_path, [given]), on_ready=print)


# --- how many connections ------------------------------------------------------------------------


async def statuses(url: str, count: int) -> list[int]:
    """Of so many connections, of which each stays open."""
    clients = [httpx.AsyncClient(base_url=url) for _ in range(count)]
    found = [(await client.get("/client")).status_code for client in clients]
    # Those that were let in are still served.
    again = [
        (await client.get("/client")).status_code
        for client, status in zip(clients, found, strict=True)
        if status == 200
    ]
    assert set(again) == {200}
    for client in clients:
        await client.aclose()
    return found


async def test_an_address_may_have_so_many_connections_open(tmp_path: Path) -> None:
    started = kernel(tmp_path, [], connections_per_address_max=3)
    async with live_server(started) as url:
        assert await statuses(url, 5) == [200, 200, 200, 429, 429]
        # Those are closed, and count no more.
        while True:
            async with httpx.AsyncClient(base_url=url) as client:
                answer = await client.get("/client")
            if answer.status_code == 200:
                break
            assert answer.json()["error"]["code"] == "rate_limit_exceeded"
            assert "3 connections open already" in answer.json()["error"]["message"]


async def test_the_connections_of_a_listed_proxy_are_those_of_many(tmp_path: Path) -> None:
    started = kernel(tmp_path, ["127.0.0.0/8"], connections_per_address_max=1)
    async with live_server(started) as url:
        assert await statuses(url, 3) == [200, 200, 200]


async def test_of_too_many_connections_those_that_came_first_go_on(tmp_path: Path) -> None:
    async with live_server(kernel(tmp_path, [], connections_max=2)) as url:
        assert await statuses(url, 4) == [200, 200, 503, 503]
