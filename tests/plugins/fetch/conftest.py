"""A client that may ask a host of the test's, under names that the test chose."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
from tests.plugins.strange_host import ADDRESS, StrangeHost

from famulus.testing.kit import quiet_log
from famulus_fetch.plugin import Fetching
from famulus_fetch.settings import FetchSettings


class Names:
    """A resolver that knows what it is told, and counts how often it is asked."""

    def __init__(self) -> None:
        self.known: dict[str, Sequence[str]] = {}
        self.asked: list[str] = []

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        """The addresses of a name."""
        self.asked.append(host)
        await asyncio.sleep(0)
        if host not in self.known:
            raise OSError("no such name")
        return self.known[host]


@pytest.fixture
async def host() -> AsyncIterator[StrangeHost]:
    """A host that stands."""
    async with StrangeHost().standing() as standing:
        yield standing


@pytest.fixture
def names() -> Names:
    """Names that lead to that host."""
    names = Names()
    names.known["pictures.example"] = [ADDRESS]
    return names


@pytest.fixture
def fetching(host: StrangeHost, names: Names) -> Any:
    """Makes clients that may ask that host."""

    def make(resolver: Names = names, **settings: Any) -> Fetching:
        given = {"networks": (f"{ADDRESS}/32",), "ports": (80, 443, host.port), **settings}
        return Fetching(FetchSettings(**given), resolver, quiet_log())

    return make
