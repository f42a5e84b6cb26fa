"""A server with assistants, and a plugin that reads them as runs do."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from famulus.plugin import NoSettings, Plugin, need
from famulus.testing import FixedClock, NumberedIds, TestServer, kernel_with
from famulus_schemas.ports import ASSISTANTS


class Reader(Plugin[NoSettings]):
    """Uses ASSISTANTS as the plugin that runs them does."""

    name = "reader"
    assistants = need(ASSISTANTS)


@pytest.fixture
async def server(fixed_clock: FixedClock, numbered_ids: NumberedIds) -> AsyncIterator[TestServer]:
    async with kernel_with(
        "sqlite", "assistants", Reader, clock=fixed_clock, make_id=numbered_ids
    ) as started:
        yield started


@pytest.fixture
def reader(server: TestServer) -> Reader:
    found: Reader = server.plugin("reader")
    return found
