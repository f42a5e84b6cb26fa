"""An address that sends wrong keys is made to wait; those who share it are not."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any, ClassVar

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from famulus import Call, NoSettings, Operation, Plugin, Problem, hookimpl, operation, operations
from famulus.addresses import network_of
from famulus.middleware import Layer
from famulus.testing import FixedClock, TestServer, kernel_with
from famulus_rate_limits.failed_logins import FailedLogins
from famulus_rate_limits.settings import RateLimitsSettings
from famulus_schemas.errors import WRONG_API_KEY
from famulus_schemas.identity import Principal

pytestmark = pytest.mark.anyio


class Doors(Plugin[NoSettings]):
    """Lets in the key `right`, and takes addresses from a header."""

    name: ClassVar[str] = "keys"
    looked_at: list[str]

    @hookimpl
    async def authenticate(self, headers: Headers) -> Principal | None:
        token = headers.get("authorization", "").removeprefix("Bearer ")
        self.looked_at = [*getattr(self, "looked_at", []), token]
        if token.startswith("right"):
            return Principal(id=token)
        if token:
            raise Problem(WRONG_API_KEY, shown="***")
        return None

    @hookimpl
    def register_operations(self) -> list[Operation]:
        return operations(self)

    @hookimpl
    def register_middleware(self) -> list[Layer]:
        def from_header(app: ASGIApp) -> ASGIApp:
            async def serve(scope: Scope, receive: Receive, send: Send) -> None:
                address = Headers(scope=scope).get("x-address", "192.0.2.1")
                await app({**scope, "client": (address, 1234)}, receive, send)

            return serve

        return [Layer(name="addresses", factory=from_header)]

    @operation("GET", "/things", action="things.read")
    async def list_things(self, call: Call) -> dict[str, str]:
        """Something."""
        return {}


@asynccontextmanager
async def guarded(clock: FixedClock, **settings: Any) -> AsyncIterator[TestServer]:
    tables = {"rate_limits": settings}
    plugins = (Doors, "rate_limits", "memory_limits")
    async with kernel_with(*plugins, settings=tables, clock=clock) as server:
        yield server


async def sent(server: TestServer, key: str, address: str = "192.0.2.1") -> httpx.Response:
    headers = {"authorization": f"Bearer {key}"} if key else {}
    return await server.get("/things", headers={**headers, "x-address": address})


async def test_after_twenty_wrong_keys_in_a_minute_an_address_waits(
    fixed_clock: FixedClock,
) -> None:
    async with guarded(fixed_clock) as server:
        statuses = [(await sent(server, f"wrong-{n}")).status_code for n in range(22)]
        assert statuses == [401] * 20 + [429] * 2
        refused = await sent(server, "wrong")
        assert refused.json()["error"]["code"] == "rate_limit_exceeded"
        assert "from your address" in refused.json()["error"]["message"]
        assert refused.headers["retry-after"] == "4"
        assert refused.headers["retry-after-ms"] == "3001"
        # A guess is not even looked at, though it be right.
        assert (await sent(server, "right")).status_code == 429
        assert "right" not in server.plugin("keys").looked_at
        assert (await sent(server, "wrong", "192.0.2.2")).status_code == 401
        fixed_clock.move(3.001)
        assert (await sent(server, "right")).status_code == 200


async def test_who_was_let_in_before_is_not_locked_out_by_others_at_its_address(
    fixed_clock: FixedClock,
) -> None:
    async with guarded(fixed_clock, failed_logins_per_minute=2) as server:
        assert (await sent(server, "right-1")).status_code == 200
        for _ in range(5):
            await sent(server, "wrong")
        statuses = [(await sent(server, key)).status_code for key in ("right-1", "right-2")]
        assert statuses == [200, 429]


async def test_a_request_without_a_key_is_no_guess(fixed_clock: FixedClock) -> None:
    async with guarded(fixed_clock, failed_logins_per_minute=2) as server:
        assert {(await sent(server, "")).status_code for _ in range(10)} == {401}
        assert (await sent(server, "right")).status_code == 200
        for _ in range(3):
            await sent(server, "wrong")
        assert (await server.get("/health/live")).status_code == 200


async def test_the_limit_can_be_turned_off(fixed_clock: FixedClock) -> None:
    async with guarded(fixed_clock, failed_logins_per_minute=0) as server:
        assert {(await sent(server, "wrong")).status_code for _ in range(30)} == {401}


async def test_the_addresses_of_one_network_of_ipv6_are_one(fixed_clock: FixedClock) -> None:
    async with guarded(fixed_clock, failed_logins_per_minute=3) as server:
        statuses = [
            (await sent(server, "wrong", f"2001:db8::{n:x}")).status_code for n in range(1, 6)
        ]
        assert statuses == [401, 401, 401, 429, 429]
        assert (await sent(server, "wrong", "2001:db8:0:1::1")).status_code == 401


async def test_the_table_of_addresses_is_bounded(fixed_clock: FixedClock) -> None:
    settings = RateLimitsSettings(addresses_max=100)
    logins = FailedLogins(settings, fixed_clock)
    for n in range(1000):
        logins.failed(f"10.0.{n // 256}.{n % 256}", "wrong")
        logins.succeeded(f"right-{n}")
    assert len(logins) == 100


def _addresses() -> Iterator[st.SearchStrategy[str]]:
    yield st.ip_addresses().map(str)
    yield st.text()


@given(st.one_of(*_addresses()))
def test_whatever_an_address_is_it_has_a_name(address: str) -> None:
    assert network_of(network_of(address)) == network_of(address)


def test_an_ipv4_address_in_ipv6_is_itself() -> None:
    assert network_of("::ffff:192.0.2.7") == "192.0.2.7"
    assert network_of("2001:db8:1:2:3::4") == "2001:db8:1:2::/64"
