"""How large vector stores were, as an administrator is told it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import openai
import pytest
from tests.plugins.usage.house import MIDNIGHT, NOW, House, opened

pytestmark = pytest.mark.anyio

STORES = ("local_blobs", "files", "extraction", "builtin", "embeddings", "exact_vectors")
PLUGINS = (*STORES, "vector_stores")
TEXT = b"The quick brown fox jumps over the lazy dog. " * 50
DAY_S, HOUR_S = 86_400, 3_600


async def filled(client: openai.AsyncOpenAI, times: int = 1) -> Any:
    """A store with a file that is so many times as long as a short one."""
    file = await client.files.create(file=("fox.txt", TEXT * times), purpose="assistants")
    store = await client.vector_stores.create(file_ids=[file.id])
    while store.status == "in_progress":
        store = await client.vector_stores.retrieve(store.id)
    assert store.usage_bytes > 0
    return store


async def told(house: House, **more: Any) -> list[list[Any]]:
    """What each bucket tells, from this moment on unless it is said otherwise."""
    asked = {"start_time": int(house.clock()), **more}
    page = await house.usage.vector_stores(**asked)
    return [list(bucket.results) for bucket in page.data]


async def sizes(house: House, **more: Any) -> list[int]:
    """The bytes that each bucket tells of all projects; 0 where it has no result."""
    return [results[0].usage_bytes if results else 0 for results in await told(house, **more)]


async def test_a_bucket_tells_what_the_stores_of_all_projects_hold_or_of_each() -> None:
    async with opened(None, *PLUGINS) as house:
        assert await told(house) == [[]]
        one, _, client = await house.key()
        two, _, other = await house.key("Other")
        first, second = await filled(client), await filled(client, times=5)
        third = await filled(other)
        mine = first.usage_bytes + second.usage_bytes
        [[total]] = await told(house)
        assert total.object == "organization.usage.vector_stores.result"
        assert (total.usage_bytes, total.project_id) == (mine + third.usage_bytes, None)
        [results] = await told(house, group_by=["project_id"])
        assert {each.project_id: each.usage_bytes for each in results} == {
            one: mine,
            two: third.usage_bytes,
        }
        assert await sizes(house, project_ids=[two]) == [third.usage_bytes]
        assert await told(house, project_ids=["proj_none"]) == [[]]


async def test_it_is_the_level_at_the_end_of_each_time_and_goes_on_while_nothing_changes() -> None:
    async with opened(None, *PLUGINS) as house:
        _, _, client = await house.key()
        size = (await filled(client)).usage_bytes
        assert await sizes(house) == [size]
        # Nothing of it is measured for two days and some hours.
        house.clock.move(2 * DAY_S + 5 * HOUR_S)
        assert await sizes(house, start_time=NOW - DAY_S) == [0, size, size, size]
        begun = NOW + 2 * DAY_S
        by_hour = await sizes(house, start_time=begun, bucket_width="1h")
        assert by_hour == [size] * 6
        by_minute = await sizes(house, start_time=begun, bucket_width="1m", limit=1440)
        assert set(by_minute) == {size}
        # Of what is to come nothing is told.
        ahead = await sizes(house, end_time=int(house.clock()) + 2 * DAY_S)
        assert ahead == [size, 0, 0]


async def test_what_is_added_and_removed_within_a_day_is_told_by_the_hour() -> None:
    async with opened(None, *PLUGINS) as house:
        _, _, client = await house.key()
        first = await filled(client)
        await sizes(house)
        house.clock.move(HOUR_S)
        second = await filled(client, times=3)
        await sizes(house)
        house.clock.move(HOUR_S)
        await client.vector_stores.delete(first.id)
        await sizes(house)
        house.clock.move(HOUR_S)
        assert await sizes(house, start_time=NOW, bucket_width="1h") == [
            first.usage_bytes,
            first.usage_bytes + second.usage_bytes,
            second.usage_bytes,
            second.usage_bytes,
        ]
        assert await sizes(house) == [second.usage_bytes]
        minutes = await sizes(house, start_time=NOW + 2 * HOUR_S - 60, bucket_width="1m", limit=2)
        assert minutes == [first.usage_bytes + second.usage_bytes, second.usage_bytes]


async def test_a_file_that_leaves_and_a_store_that_expires_hold_nothing() -> None:
    async with opened(None, *PLUGINS, vector_stores={"sweep_s": 0.01}) as house:
        _, _, client = await house.key()
        store = await filled(client)
        after: Any = {"anchor": "last_active_at", "days": 1}
        await client.vector_stores.update(store.id, expires_after=after)
        [file] = (await client.vector_stores.files.list(store.id)).data
        await client.files.delete(file.id)
        assert await told(house) == [[]]
        other = await filled(client)
        await client.vector_stores.update(other.id, expires_after=after)
        assert await sizes(house) == [other.usage_bytes]
        house.clock.move(2 * DAY_S)
        while (await client.vector_stores.retrieve(other.id)).usage_bytes:
            pass
        assert await told(house) == [[]]


async def test_it_is_measured_without_a_question_and_known_after_a_restart(tmp_path: Path) -> None:
    settings = {"levels_s": 0.01, "write_s": 0.01}
    async with opened(None, *PLUGINS, data_dir=tmp_path, usage=settings) as house:
        store = await filled(house.client)
        while not await house.records("usage_level"):
            pass
        level = store.usage_bytes
    async with opened(None, *PLUGINS, data_dir=tmp_path) as house:
        house.clock.move(DAY_S)
        await house.client.vector_stores.delete(store.id)
        assert await sizes(house, start_time=NOW) == [level, 0]


async def test_pages_go_on_where_the_last_one_ended() -> None:
    async with opened(None, *PLUGINS) as house:
        size = (await filled(house.client)).usage_bytes
        await sizes(house)
        house.clock.move(3 * DAY_S)
        page = await house.usage.vector_stores(start_time=MIDNIGHT, limit=11)
        assert [bool(bucket.results) for bucket in page.data] == [False] * 10 + [True]
        rest = await house.usage.vector_stores(start_time=MIDNIGHT, limit=11, page=page.next_page)
        assert [bucket.results[0].usage_bytes for bucket in rest.data] == [size] * 3
        assert rest.next_page is None


async def test_who_measured_first_and_writes_last_does_not_hide_what_there_is_now() -> None:
    async with opened() as house:
        levels = house.server.plugin("usage").levels
        held, is_slow = 1, False

        async def measure() -> dict[str, int]:
            nonlocal held, is_slow
            found = {"default": held}
            if is_slow:
                # Others change it meanwhile, and are measured.
                held, is_slow = 3, False
                await levels.measure()
            return found

        with levels.of("vector_stores", measure):
            assert await sizes(house) == [1]
            held, is_slow = 2, True
            await levels.measure()
        assert await sizes(house) == [3]
