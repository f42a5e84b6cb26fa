"""Vector stores as clients see them: made, listed, changed, expired and deleted."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from tests.plugins.vector_stores.conftest import Api

from famulus.testing import FixedClock

pytestmark = pytest.mark.anyio
DAY_S = 86_400


async def test_a_store_is_made_with_its_files_and_is_completed_once_they_are_read(
    api: Api,
) -> None:
    files = [await api.file(f"text number {n}") for n in range(3)]
    api.reader.gate.clear()
    made = await api.post("/vector_stores", {"file_ids": files, "metadata": {"a": "b"}})
    assert made == {
        "id": made["id"],
        "object": "vector_store",
        "created_at": 1_700_000_000,
        "name": "",
        "usage_bytes": 0,
        "file_counts": {
            "in_progress": 3,
            "completed": 0,
            "failed": 0,
            "cancelled": 0,
            "total": 3,
        },
        "status": "in_progress",
        "expires_at": None,
        "last_active_at": 1_700_000_000,
        "metadata": {"a": "b"},
    }
    assert await api.get(f"/vector_stores/{made['id']}") == made
    api.reader.gate.set()
    done = await api.settled(made["id"])
    assert done["status"] == "completed"
    assert done["file_counts"]["completed"] == done["file_counts"]["total"] == 3
    listed = await api.files_of(made["id"])
    assert sorted(each["id"] for each in listed) == sorted(files)
    assert done["usage_bytes"] == sum(each["usage_bytes"] for each in listed) > 0


async def test_a_name_is_never_null(api: Api) -> None:
    store = (await api.post("/vector_stores", {"name": "notes"}))["id"]
    path = f"/vector_stores/{store}"
    assert (await api.get(path))["name"] == "notes"
    assert (await api.post(path, {"name": None}))["name"] == ""
    assert (await api.post(path, {"name": "more", "metadata": {"k": "v"}}))["name"] == "more"
    assert (await api.post(path))["metadata"] == {"k": "v"}
    assert (await api.post(path, {"metadata": None}))["metadata"] == {}


async def test_stores_are_listed_over_pages_also_around_one_that_is_deleted(api: Api) -> None:
    made = [(await api.post("/vector_stores"))["id"] for _ in range(5)]
    page = await api.get("/vector_stores", params={"limit": 2})
    assert [each["id"] for each in page["data"]] == made[:2:-1]
    assert (page["first_id"], page["last_id"], page["has_more"]) == (made[4], made[3], True)
    gone = await api.delete(f"/vector_stores/{made[3]}")
    assert gone == {"id": made[3], "object": "vector_store.deleted", "deleted": True}
    rest = await api.get("/vector_stores", params={"after": made[3], "order": "desc"})
    assert [each["id"] for each in rest["data"]] == made[2::-1]
    param, _, _ = await api.refused("/vector_stores?after=vs_none", method="GET")
    assert param == "after"


async def test_an_expiry_is_counted_from_the_last_use(api: Api, fixed_clock: FixedClock) -> None:
    after = {"anchor": "last_active_at", "days": 2}
    store = await api.store("some words", expires_after=after)
    path = f"/vector_stores/{store}"
    first = (await api.get(path))["expires_at"]
    assert first == fixed_clock.at + 2 * DAY_S
    fixed_clock.move(DAY_S)
    assert await api.search(store, "words")
    found = await api.get(path)
    assert (found["last_active_at"], found["expires_at"]) == (
        fixed_clock.at,
        fixed_clock.at + 2 * DAY_S,
    )
    assert "expires_after" not in await api.post(path, {"expires_after": None})
    assert (await api.get(path))["expires_at"] is None


async def test_nothing_of_a_store_that_has_expired_stays_in_its_index(
    api: Api, fixed_clock: FixedClock, tmp_path: Path
) -> None:
    after = {"anchor": "last_active_at", "days": 1}
    store = await api.store("some words", expires_after=after)
    assert await api.search(store, "words")
    assert list(tmp_path.glob("vectors/*/*.db"))
    fixed_clock.move(DAY_S)
    await api.server.plugin("vector_stores").sweeper.sweep()
    async with asyncio.timeout(30):
        while list(tmp_path.glob("vectors/*/*.db")):
            await asyncio.sleep(0.005)


async def test_a_store_that_has_expired_is_listed_and_not_searched_and_holds_no_chunks(
    api: Api, fixed_clock: FixedClock
) -> None:
    after = {"anchor": "last_active_at", "days": 1}
    store = await api.store("some words", expires_after=after)
    other = await api.store("other words")
    await api.cleared()
    assert await api.chunks() == 2
    fixed_clock.move(DAY_S)
    path = f"/vector_stores/{store}"
    assert (await api.get(path))["status"] == "expired"
    _, code, _ = await api.refused(f"{path}/search", {"query": "words"})
    assert code == "vector_store_expired"
    file = await api.file()
    assert (await api.refused(f"{path}/files", {"file_id": file}))[1] == "vector_store_expired"
    batch = {"file_ids": [file]}
    assert (await api.refused(f"{path}/file_batches", batch))[1] == "vector_store_expired"
    assert await api.user.stores.ready("default", [store], within_s=0) == 0
    await api.server.plugin("vector_stores").sweeper.sweep()
    await api.cleared()
    assert await api.chunks() == 1
    assert [each["id"] for each in await api.files_of(store)]
    # It stays expired, and is a store like others to those who change or delete it.
    longer = await api.post(path, {"expires_after": {"anchor": "last_active_at", "days": 9}})
    assert longer["status"] == "expired"
    statuses = {e["id"]: e["status"] for e in (await api.get("/vector_stores"))["data"]}
    assert statuses == {store: "expired", other: "completed"}
    await api.delete(path)
    await api.cleared()
    assert await api.count("vector_store_file") == 1


async def test_a_store_that_is_deleted_leaves_nothing_behind(api: Api) -> None:
    file = await api.file("shared words")
    stores = [(await api.post("/vector_stores", {"file_ids": [file]}))["id"] for _ in range(2)]
    batch = await api.post(
        f"/vector_stores/{stores[0]}/file_batches", {"file_ids": [await api.file("more")]}
    )
    for store in stores:
        await api.settled(store)
    await api.delete(f"/vector_stores/{stores[0]}")
    await api.refused(f"/vector_stores/{stores[0]}/files", method="GET", status=404)
    path = f"/vector_stores/{stores[0]}/file_batches/{batch['id']}"
    await api.refused(path, method="GET", status=404)
    await api.cleared()
    assert await api.count("vector_store_file") == await api.chunks() == 1
    assert await api.count("vector_store_batch") == 0
    assert await api.count("vector_store_membership") == 1
    assert len(await api.search(stores[1], "words")) == 1
    await api.delete(f"/vector_stores/{stores[1]}")
    await api.cleared()
    for kind in ("vector_store_file", "vector_store_membership", "vector_store_chunks"):
        assert await api.count(kind) == 0


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"file_ids": ["file-none"]}, "file_ids[0]"),
        ({"file_ids": ["f"] * 501}, "file_ids"),
        ({"expires_after": {"anchor": "created_at", "days": 1}}, "expires_after.anchor"),
        ({"expires_after": {"anchor": "last_active_at", "days": 366}}, "expires_after.days"),
        ({"name": None}, "name"),
        ({"chunking_strategy": {"type": "other"}}, "chunking_strategy.type"),
        (
            {
                "chunking_strategy": {
                    "type": "static",
                    "static": {"max_chunk_size_tokens": 100, "chunk_overlap_tokens": 51},
                }
            },
            "chunking_strategy.static.chunk_overlap_tokens",
        ),
        ({"metadata": {"k": "v" * 513}}, "metadata.k"),
        ({"files": []}, "files"),
    ],
)
async def test_what_a_store_cannot_have_is_refused_by_name(
    api: Api, body: dict[str, object], param: str
) -> None:
    assert (await api.refused("/vector_stores", body))[0] == param
    assert (await api.get("/vector_stores"))["data"] == []
