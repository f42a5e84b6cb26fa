"""File batches: many files at once, watched and called off."""

from __future__ import annotations

import asyncio

import pytest
from tests.plugins.vector_stores.conftest import Api

pytestmark = pytest.mark.anyio
STATIC = {
    "type": "static",
    "static": {"max_chunk_size_tokens": 100, "chunk_overlap_tokens": 20},
}


async def test_a_batch_is_added_at_once_and_watched_to_its_end(api: Api) -> None:
    store = await api.store()
    files = [await api.file(each) for each in ("one", "two", b"\x00", "bomb")]
    api.reader.gate.clear()
    path = f"/vector_stores/{store}/file_batches"
    batch = await api.post(path, {"file_ids": files, "attributes": {"a": 1}})
    assert batch == {
        "id": batch["id"],
        "object": "vector_store.files_batch",
        "created_at": 1_700_000_000,
        "vector_store_id": store,
        "status": "in_progress",
        "file_counts": {"in_progress": 4, "completed": 0, "failed": 0, "cancelled": 0, "total": 4},
    }
    api.reader.gate.set()
    await api.settled(store)
    done = await api.get(f"{path}/{batch['id']}")
    assert done["status"] == "completed"
    assert done["file_counts"] == {
        "in_progress": 0,
        "completed": 2,
        "failed": 2,
        "cancelled": 0,
        "total": 4,
    }
    listed = (await api.get(f"{path}/{batch['id']}/files"))["data"]
    assert {each["id"] for each in listed} == set(files)
    assert all(each["attributes"] == {"a": 1} for each in listed)
    failed = await api.get(f"{path}/{batch['id']}/files", params={"filter": "failed"})
    assert {each["id"] for each in failed["data"]} == set(files[2:])


async def test_each_file_of_a_batch_may_have_options_of_its_own(api: Api) -> None:
    store = await api.store()
    one, other = await api.file("one"), await api.file("other")
    files = [
        {"file_id": one, "attributes": {"n": 1}, "chunking_strategy": STATIC},
        {"file_id": other},
        {"file_id": one, "attributes": {"n": 2}},
    ]
    body = {"files": files, "attributes": {"ignored": True}}
    batch = await api.post(f"/vector_stores/{store}/file_batches", body)
    assert batch["file_counts"]["total"] == 2
    await api.settled(store)
    kept = {each["id"]: each for each in await api.files_of(store)}
    assert (kept[one]["attributes"], kept[other]["attributes"]) == ({"n": 1}, {})
    assert kept[one]["chunking_strategy"] == STATIC


async def test_a_batch_is_either_of_ids_or_of_files(api: Api) -> None:
    store = await api.store()
    file = await api.file()
    path = f"/vector_stores/{store}/file_batches"
    bad = {"type": "static", "static": {"max_chunk_size_tokens": 100, "chunk_overlap_tokens": 99}}
    for body, param in (
        ({}, "file_ids"),
        ({"file_ids": [file], "files": [{"file_id": file}]}, "files"),
        ({"file_ids": []}, "file_ids"),
        ({"files": []}, "files"),
        ({"file_ids": ["f"] * 2001}, "file_ids"),
        ({"file_ids": [file, "file-none"]}, "file_ids[1]"),
        ({"files": [{"file_id": file}, {"file_id": "x"}]}, "files[1].file_id"),
        (
            {"files": [{"file_id": file, "chunking_strategy": bad}]},
            "files[0].chunking_strategy.static.chunk_overlap_tokens",
        ),
    ):
        assert (await api.refused(path, body))[0] == param
    assert await api.files_of(store) == []
    await api.refused("/vector_stores/vs_x/file_batches", {"file_ids": [file]}, status=404)


async def test_a_cancelled_batch_stops_what_is_not_finished(api: Api) -> None:
    store = await api.store()
    path = f"/vector_stores/{store}/file_batches"
    api.reader.gate.clear()
    files = [await api.file(" ".join(["words"] * 900)) for _ in range(120)]
    body = {"file_ids": files, "chunking_strategy": STATIC}
    batch = await api.post(path, body)
    async with asyncio.timeout(30):
        while api.reader.begun < 4:
            await asyncio.sleep(0.005)
    cancelled = await api.post(f"{path}/{batch['id']}/cancel")
    assert cancelled["status"] == "cancelled"
    assert cancelled["file_counts"]["cancelled"] == cancelled["file_counts"]["total"] == 120
    api.reader.gate.set()
    await api.cleared()
    assert await api.chunks() == 0
    assert {each["status"] for each in await api.files_of(store, limit=100)} == {"cancelled"}
    again = await api.post(f"{path}/{batch['id']}/cancel")
    assert again == cancelled
    # They can be added again, and be taken out.
    await api.post(f"/vector_stores/{store}/files", {"file_id": files[0]})
    assert (await api.settled(store))["file_counts"]["completed"] == 1
    await api.delete(f"/vector_stores/{store}/files/{files[1]}")
    await api.cleared()


async def test_a_batch_that_is_over_cannot_be_cancelled(api: Api) -> None:
    store = await api.store()
    path = f"/vector_stores/{store}/file_batches"
    batch = await api.post(path, {"file_ids": [await api.file()]})
    await api.settled(store)
    _, _, message = await api.refused(f"{path}/{batch['id']}/cancel")
    assert message == "Cannot cancel file batch with status 'completed'."


async def test_a_file_that_leaves_unread_does_not_hold_its_batch_up(api: Api) -> None:
    store = await api.store()
    path = f"/vector_stores/{store}/file_batches"
    api.reader.gate.clear()
    files = [await api.file("one"), await api.file("two")]
    batch = await api.post(path, {"file_ids": files})
    await api.delete(f"/vector_stores/{store}/files/{files[0]}")
    await api.delete(f"/files/{files[1]}")
    done = await api.get(f"{path}/{batch['id']}")
    assert (done["status"], done["file_counts"]["cancelled"]) == ("completed", 2)
    api.reader.gate.set()
    await api.cleared()


async def test_a_batch_of_files_that_are_there_is_completed_at_once(api: Api) -> None:
    store = await api.store("one", "two")
    files = [each["id"] for each in await api.files_of(store)]
    body = {"file_ids": files, "attributes": {"a": 1}}
    batch = await api.post(f"/vector_stores/{store}/file_batches", body)
    assert (batch["status"], batch["file_counts"]["completed"]) == ("completed", 2)
    path = f"/vector_stores/{store}/file_batches/{batch['id']}/files"
    assert [each["attributes"] for each in (await api.get(path))["data"]] == [{"a": 1}] * 2
    assert api.reader.begun == 2
