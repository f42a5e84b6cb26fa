"""A server that trusts an issuer on this machine."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from tests.plugins.oidc.issuer import AUDIENCE, LocalIssuer, local_issuer

from famulus.testing import FixedClock, TestServer, kernel_with

PLUGINS = ("sqlite", "keys", "admin", "assistants", "oidc", "idempotency")
KEY = "the-key-of-the-configuration"


@pytest.fixture
def issuer() -> Iterator[LocalIssuer]:
    """An issuer on this machine."""
    with local_issuer() as made:
        yield made


def trusting(issuer: LocalIssuer, **more: Any) -> dict[str, Any]:
    """The table of an issuer."""
    return {"name": "home", "issuer": issuer.url, "audience": AUDIENCE, **more}


@asynccontextmanager
async def house(
    *issuers: dict[str, Any], clock: FixedClock | None = None, more: Any = (), **settings: Any
) -> AsyncIterator[House]:
    """A server that trusts these issuers."""
    tables = {
        "keys": {"api_key": KEY, "first_key": False},
        "oidc": {"issuers": list(issuers), "cache_s": 0, **settings.pop("oidc", {})},
        **settings,
    }
    clock = clock or FixedClock()
    async with kernel_with(*PLUGINS, *more, settings=tables, clock=clock) as server:
        yield House(server, clock)


class House:
    """Asks with any token."""

    def __init__(self, server: TestServer, clock: FixedClock) -> None:
        self.server = server
        self.clock = clock

    async def ask(
        self, token: str, method: str = "GET", path: str = "/v1/assistants", **more: Any
    ) -> httpx.Response:
        """What is answered."""
        headers = {"authorization": f"Bearer {token}", **more.pop("headers", {})}
        return await self.server.client.request(method, path, headers=headers, **more)

    async def status(self, token: str, *args: Any, **more: Any) -> int:
        """With which status."""
        return (await self.ask(token, *args, **more)).status_code

    async def refusal(self, token: str, **more: Any) -> str:
        """Why it is refused as wrong; a refusal never repeats the token."""
        answer = await self.ask(token, **more)
        error = answer.json()["error"]
        assert (answer.status_code, error["code"]) == (401, "invalid_token"), answer.text
        assert answer.headers["www-authenticate"] == 'Bearer error="invalid_token"'
        assert not any(part in answer.text for part in token.split(".") if part)
        return str(error["message"])
