"""Two processes on one database add up at once, and neither loses what the other counts."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from tests.e2e.stores import execute, own_schema

from famulus.testing import FixedClock, kernel_with
from famulus_schemas.usage import Used
from famulus_usage.roller import spent_id, times_of

LOCAL_POSTGRES = "postgresql://postgres@127.0.0.1:5432/test"
NOW = 1_698_796_800
ROUNDS = 12
PROJECTS = ("one", "two", "three")
SETTINGS = {"prices": {"m": {"input": 1.0}}, "write_s": 600, "adopt_s": 0.001}


@pytest.fixture
def postgres() -> Iterator[dict[str, str]]:
    """The settings of a store that is empty."""
    dsn = os.environ.get("FAMULUS_TEST_POSTGRES") or LOCAL_POSTGRES
    try:
        anyio.run(execute, dsn, "select 1")
    except OSError:
        pytest.skip("NO POSTGRESQL: set FAMULUS_TEST_POSTGRES to the dsn of a server for tests")
    with own_schema(dsn) as variables:
        yield {"dsn": dsn, "schema": variables["FAMULUS_POSTGRES__SCHEMA"]}


@asynccontextmanager
async def process(folder: Path, postgres: dict[str, str], clock: FixedClock) -> AsyncIterator[Any]:
    """The plugin, in a server of its own."""
    settings = {"postgres": postgres, "usage": SETTINGS}
    async with kernel_with(
        "postgres", "usage", data_dir=folder, settings=settings, clock=clock
    ) as server:
        yield server.plugin("usage")


def used(project: str) -> Used:
    """A thousand tokens: a tenth of a cent, which is a million billionths of a dollar."""
    return Used(at=NOW, project=project, key="k", model="m", input_tokens=1_000)


@pytest.mark.parametrize("adopts", [False, True])
def test_sums_hold_whoever_adds_up_what(
    tmp_path: Path, postgres: dict[str, str], adopts: bool
) -> None:
    async def work(plugin: Any) -> None:
        for _ in range(ROUNDS):
            for project in PROJECTS:
                plugin._book.note(used(project))
                unit = await plugin._book.writes([used(project)])
                await plugin.records.of(project).commit(unit)
            await plugin.settle()
            if adopts:
                await plugin.gather_all()

    async def scenario() -> None:
        clock = FixedClock(NOW)
        async with AsyncExitStack() as opened:
            plugins = [
                await opened.enter_async_context(process(tmp_path / name, postgres, clock))
                for name in ("a", "b")
            ]
            await asyncio.gather(*map(work, plugins))
            for plugin in plugins:
                await plugin.gather_all()
            for width in ("1m", "1h", "1d"):
                rows = await plugins[1].reading.rows(width, NOW, NOW + 86_400)
                told = {project: (cell.requests, cell.input) for project, cell in rows}
                count = 2 * 2 * ROUNDS
                assert told == dict.fromkeys(PROJECTS, (count, count * 1_000))
            for project in PROJECTS:
                for time in times_of(NOW):
                    record = (
                        await plugins[0].records.of(project).get("usage_spent", spent_id(time, "k"))
                    )
                    assert int(record.body) == count * 1_000_000

    asyncio.run(scenario())
