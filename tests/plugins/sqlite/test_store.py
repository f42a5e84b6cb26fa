from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from famulus.testing.records_conformance import OpenStore, RecordsConformance
from famulus_schemas.records import Insert, Kind, Record

pytestmark = pytest.mark.anyio


class TestSqlite(RecordsConformance):
    @pytest.fixture
    def open_store(self, open_sqlite: OpenStore) -> OpenStore:
        return open_sqlite


class TestSqliteInTheSmall(RecordsConformance):
    """The same promises where every batch is one unit and every read takes the hop."""

    many = 2000

    @pytest.fixture
    def open_store(self, open_sqlite: Callable[..., Any]) -> OpenStore:
        return lambda: open_sqlite(units_per_batch_max=1, point_read_s=0.0, cache_bytes=0)


def color_of(record: Record) -> dict[str, str]:
    return msgspec.json.decode(record.body, type=dict[str, str])


async def test_a_name_that_was_not_declared_for_a_while_is_filled_in_again(
    open_sqlite: OpenStore,
) -> None:
    with_color = Kind(name="note", indexes=("color",), index_of=color_of)
    async with open_sqlite() as opened:
        records = opened.store.of("project")
        await opened.store.declare(with_color)
        await records.commit(
            [Insert(kind="note", id="a", created_at=1, body=b"{}", index={"color": "stale"})]
        )
        await opened.store.declare(Kind(name="note"))
        await records.commit([Insert(kind="note", id="b", created_at=1, body=b'{"color":"red"}')])
        await opened.store.declare(with_color)
        page = await records.page("note", where={"color": "red"})
        assert [record.id for record in page.records] == ["b"]
        assert (await records.page("note", where={"color": "stale"})).records == []


async def test_the_clock_of_the_store_is_the_one_it_was_given(open_sqlite: OpenStore) -> None:
    async with open_sqlite() as opened:
        assert await opened.system.now() == 1_700_000_000.0
