"""What can be read of a database that is open."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from famulus_postgres.gauges import store_gauges
from famulus_schemas.records import Insert

pytestmark = pytest.mark.anyio


async def test_what_was_written_and_what_waits_is_told(open_postgres: Callable[..., Any]) -> None:
    async with open_postgres(pool_max=1) as opened:
        database = opened.database
        gauges = {each.name: each.read for each in store_gauges(lambda: database)}
        unit = [Insert(kind="k", id="a", created_at=1, body=b"{}")]
        await database.writer.commit("p", unit)
        assert gauges["famulus_postgres_units_total"]() == 1
        assert gauges["famulus_postgres_commits_total"]() == 1
        seconds = gauges["famulus_postgres_commit_seconds_total"]()
        assert isinstance(seconds, float)
        assert seconds > 0
        reads = [
            asyncio.ensure_future(database.pool.fetch("select pg_sleep(0.1)", ())) for _ in range(3)
        ]
        await asyncio.sleep(0)
        assert gauges["famulus_postgres_connections"]() == {("busy",): 1, ("idle",): 0}
        assert gauges["famulus_postgres_reads_waiting"]() == 2
        await asyncio.gather(*reads)
        assert gauges["famulus_postgres_reads_waiting"]() == 0
        assert gauges["famulus_postgres_connections"]() == {("busy",): 0, ("idle",): 1}
        assert gauges["famulus_postgres_units_waiting"]() == 0


def test_a_database_that_is_not_open_has_nothing_waiting() -> None:
    values = [each.read() for each in store_gauges(lambda: None)]
    assert {("busy",): 0, ("idle",): 0} in values
    assert all(each == 0 for each in values if isinstance(each, float))
