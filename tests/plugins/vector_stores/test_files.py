"""Files of stores: how they come in, how they end, and how they leave."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from tests.plugins.vector_stores.conftest import Api, server_of

from famulus.testing import FixedClock

pytestmark = pytest.mark.anyio
STATIC = {"max_chunk_size_tokens": 100, "chunk_overlap_tokens": 20}
WORDS = " ".join(f"word{n}" for n in range(1000))


async def added(api: Api, store: str, content: str | bytes = "hello", **options: Any) -> Any:
    """A file of a store once it is done."""
    file = await api.file(content)
    await api.post(f"/vector_stores/{store}/files", {"file_id": file, **options})
    await api.settled(store)
    return await api.get(f"/vector_stores/{store}/files/{file}")


async def test_a_file_is_told_how_it_is_cut_up(api: Api) -> None:
    store = await api.store()
    auto = await added(api, store, chunking_strategy={"type": "auto"})
    plain = await added(api, store)
    static = await added(api, store, chunking_strategy={"type": "static", "static": STATIC})
    for file in (auto, plain):
        assert file["chunking_strategy"] == {
            "type": "static",
            "static": {"max_chunk_size_tokens": 800, "chunk_overlap_tokens": 400},
        }
    assert static["chunking_strategy"] == {"type": "static", "static": STATIC}
    assert (static["object"], static["status"], static["last_error"]) == (
        "vector_store.file",
        "completed",
        None,
    )
    assert (static["vector_store_id"], static["attributes"]) == (store, {})


async def test_files_are_listed_by_status_over_pages(api: Api) -> None:
    store = await api.store("one", b"\x00", "two", "three")
    listed = await api.files_of(store, order="asc")
    good = [each["id"] for each in listed if each["status"] == "completed"]
    assert len(good) == 3
    assert [e["id"] for e in await api.files_of(store, filter="completed", order="asc")] == good
    path = f"/vector_stores/{store}/files"
    page = await api.get(path, params={"limit": 2, "order": "asc"})
    assert (page["last_id"], page["has_more"]) == (listed[1]["id"], True)
    await api.delete(f"{path}/{listed[1]['id']}")
    rest = await api.files_of(store, after=listed[1]["id"], order="asc")
    assert [each["id"] for each in rest] == [each["id"] for each in listed[2:]]
    before = await api.files_of(store, before=listed[2]["id"], order="asc")
    assert [each["id"] for each in before] == [listed[0]["id"]]
    param, _, message = await api.refused(f"{path}?after=file-none", method="GET")
    assert (param, "'file-none'" in message) == ("after", True)
    for wrong in ("nope", "null", ""):
        assert (await api.refused(f"{path}?filter={wrong}", method="GET"))[0] == "filter"


async def test_a_file_that_cannot_be_read_fails_alone_and_says_why(api: Api) -> None:
    store = await api.store("good words", b"\x00picture", "bomb", "   ")
    files = {each["status"]: [] for each in await api.files_of(store)}
    for each in await api.files_of(store):
        files[each["status"]].append(each["last_error"])
    assert files["completed"] == [None]
    told = {error["code"]: error["message"] for error in files["failed"]}
    assert told["unsupported_file"] == "Files of this kind are not read."
    assert {e["message"] for e in files["failed"] if e["code"] == "invalid_file"} == {
        "The file takes up too much room.",
        "The file has no text that could be searched.",
    }
    found = await api.get(f"/vector_stores/{store}")
    assert (found["status"], found["file_counts"]["failed"]) == ("completed", 3)
    await api.cleared()
    assert await api.chunks() == 1


async def test_what_fails_for_the_servers_reasons_is_tried_again(api: Api) -> None:
    store = await api.store()
    api.reader.faults = 2
    assert (await added(api, store))["status"] == "completed"
    assert api.reader.begun == 3


async def test_after_so_many_attempts_a_file_is_given_up(
    tmp_path: Path, fixed_clock: FixedClock
) -> None:
    settings = {"vector_stores": {"attempts_max": 3}}
    async with server_of(clock=fixed_clock, data_dir=tmp_path, settings=settings) as server:
        api = Api(server)
        store = await api.store()
        api.reader.faults = 99
        failed = await added(api, store)
        assert failed["status"] == "failed"
        assert failed["last_error"]["code"] == "server_error"
        assert "after 3 attempts" in failed["last_error"]["message"]
        assert api.reader.begun == 3
        # Adding it again is a new beginning.
        api.reader.faults = 0
        await api.post(f"/vector_stores/{store}/files", {"file_id": failed["id"]})
        counts = (await api.settled(store))["file_counts"]
        assert (counts["completed"], counts["failed"], counts["total"]) == (1, 0, 1)


async def test_a_file_with_too_much_in_it_fails(tmp_path: Path, fixed_clock: FixedClock) -> None:
    settings = {"vector_stores": {"tokens_per_file_max": 1010, "chunks_per_file_max": 20}}
    async with server_of(clock=fixed_clock, data_dir=tmp_path, settings=settings) as server:
        api = Api(server)
        store = await api.store()
        # What overlaps counts once.
        for overlap, status in ((50, "completed"), (0, "completed"), (49, "completed")):
            sizes = {**STATIC, "chunk_overlap_tokens": overlap}
            small = {"type": "static", "static": sizes}
            file = await added(api, store, WORDS, chunking_strategy=small)
            assert file["status"] == status
        file = await added(api, store, WORDS + " more" * 20)
        assert file["last_error"]["code"] == "invalid_file"
        assert "more than 1010 tokens" in file["last_error"]["message"]


async def test_a_file_of_too_many_chunks_fails(tmp_path: Path, fixed_clock: FixedClock) -> None:
    settings = {"vector_stores": {"chunks_per_file_max": 18}}
    async with server_of(clock=fixed_clock, data_dir=tmp_path, settings=settings) as server:
        api = Api(server)
        store = await api.store()
        sizes = {"max_chunk_size_tokens": 100, "chunk_overlap_tokens": 50}
        cut = {"type": "static", "static": sizes}
        file = await added(api, store, WORDS, chunking_strategy=cut)
        assert file["last_error"]["code"] == "invalid_file"
        assert "more than 18 chunks" in file["last_error"]["message"]
        assert (await added(api, store, WORDS))["status"] == "completed"
        await api.cleared()
        assert await api.chunks() == 1


async def test_the_text_of_a_file_comes_without_what_its_chunks_share(
    tmp_path: Path, fixed_clock: FixedClock
) -> None:
    settings = {"vector_stores": {"content_page_bytes": 2000}}
    async with server_of(clock=fixed_clock, data_dir=tmp_path, settings=settings) as server:
        api = Api(server)
        text = " ".join(f"word{n}" for n in range(3000))
        small = {"type": "static", "static": STATIC}
        store = await api.store()
        file = await added(api, store, text, chunking_strategy=small)
        path = f"/vector_stores/{store}/files/{file['id']}/content"
        page = await api.get(path)
        assert page["object"] == "vector_store.file_content.page"
        told, pages = "", 1
        while True:
            assert {each["type"] for each in page["data"]} == {"text"}
            told += "".join(each["text"] for each in page["data"])
            if not page["has_more"]:
                break
            page = await api.get(path, params={"page": page["next_page"]})
            pages += 1
        assert told == text
        assert page["next_page"] is None
        assert pages == 3
        for wrong in ("x", "1", "1-x", "-1-2", "9" * 30 + "-1"):
            assert (await api.refused(f"{path}?page={wrong}", method="GET"))[0] == "page"


async def test_attributes_are_given_changed_and_cleared(api: Api) -> None:
    store = await api.store()
    given = {"year": 2024, "share": 0.5, "draft": True, "author": "Ada"}
    file = await added(api, store, attributes=given)
    assert file["attributes"] == given
    assert isinstance(file["attributes"]["year"], int)
    path = f"/vector_stores/{store}/files/{file['id']}"
    assert (await api.post(path, {"attributes": {"year": 2025}}))["attributes"] == {"year": 2025}
    assert (await api.get(path))["attributes"] == {"year": 2025}
    assert (await api.post(path, {"attributes": None}))["attributes"] == {}
    for wrong, param in (
        ({"attributes": {str(n): 1 for n in range(17)}}, "attributes"),
        ({"attributes": {"a": "x" * 513}}, "attributes.a"),
        ({"attributes": {"a" * 65: 1}}, "attributes." + "a" * 61 + "..."),
        ({"attributes": {"a": None}}, "attributes.a"),
        ({}, "attributes"),
    ):
        assert (await api.refused(path, wrong))[0] == param


async def test_adding_a_file_again_changes_what_is_said_about_it(api: Api) -> None:
    store = await api.store()
    file = await added(api, store, WORDS, attributes={"a": 1})
    again = {"file_id": file["id"], "attributes": {"a": 2}}
    answer = await api.post(f"/vector_stores/{store}/files", again)
    assert (answer["status"], answer["attributes"]) == ("completed", {"a": 2})
    assert api.reader.begun == 1
    cut = {**again, "chunking_strategy": {"type": "static", "static": STATIC}}
    answer = await api.post(f"/vector_stores/{store}/files", cut)
    assert answer["status"] == "in_progress"
    counts = (await api.settled(store))["file_counts"]
    assert (counts["completed"], counts["total"], api.reader.begun) == (1, 1, 2)
    await api.cleared()
    assert await api.chunks() == 1
    usage = (await api.get(f"/vector_stores/{store}"))["usage_bytes"]
    assert usage == (await api.files_of(store))[0]["usage_bytes"]


async def test_a_file_that_is_read_again_keeps_its_attributes_unless_others_are_given(
    api: Api,
) -> None:
    store = await api.store()
    file = await added(api, store, WORDS, attributes={"a": 1})
    again = {
        "file_id": file["id"],
        "chunking_strategy": {"type": "static", "static": STATIC},
    }
    await api.post(f"/vector_stores/{store}/files", again)
    await api.settled(store)
    assert (await api.files_of(store))[0]["attributes"] == {"a": 1}
    auto = {"file_id": file["id"], "attributes": {}}
    await api.post(f"/vector_stores/{store}/files", auto)
    await api.settled(store)
    assert (await api.files_of(store))[0]["attributes"] == {}


async def test_a_file_leaves_a_store_and_stays_itself(api: Api) -> None:
    store = await api.store("first words", "second words")
    one, other = await api.files_of(store)
    path = f"/vector_stores/{store}/files/{one['id']}"
    gone = await api.delete(path)
    assert gone == {"id": one["id"], "object": "vector_store.file.deleted", "deleted": True}
    await api.refused(path, method="GET", status=404)
    await api.refused(path, method="DELETE", status=404)
    await api.get(f"/files/{one['id']}")
    assert [each["file_id"] for each in await api.search(store, "words")] == [other["id"]]
    found = await api.get(f"/vector_stores/{store}")
    assert found["file_counts"]["total"] == 1
    assert found["usage_bytes"] == other["usage_bytes"]
    await api.cleared()
    assert await api.chunks() == 1


async def test_nothing_of_a_file_that_is_deleted_stays_in_an_index(
    api: Api, tmp_path: Path
) -> None:
    store = await api.store("some words")
    assert await api.search(store, "words")
    assert list(tmp_path.glob("vectors/*/*.db"))
    (file,) = await api.files_of(store)
    await api.delete(f"/files/{file['id']}")
    async with asyncio.timeout(30):
        while list(tmp_path.glob("vectors/*/*.db")):
            await asyncio.sleep(0.005)


async def test_a_file_that_is_deleted_leaves_every_store(api: Api) -> None:
    file = await api.file("shared words")
    stores = [(await api.post("/vector_stores", {"file_ids": [file]}))["id"] for _ in range(3)]
    for store in stores:
        await api.settled(store)
    await api.delete(f"/files/{file}")
    for store in stores:
        assert await api.files_of(store) == []
        assert await api.search(store, "words") == []
        found = await api.get(f"/vector_stores/{store}")
        assert (found["file_counts"]["total"], found["usage_bytes"]) == (0, 0)
    await api.cleared()
    assert await api.chunks() == await api.count("vector_store_membership") == 0


@pytest.mark.parametrize("what", ["file", "store", "membership"])
async def test_what_goes_while_it_is_read_leaves_nothing_behind(api: Api, what: str) -> None:
    small = {"type": "static", "static": STATIC}
    store = await api.store()
    file = await api.file(WORDS)
    api.reader.gate.clear()
    body = {"file_id": file, "chunking_strategy": small}
    await api.post(f"/vector_stores/{store}/files", body)
    async with asyncio.timeout(30):
        while not api.reader.begun:
            await asyncio.sleep(0.005)
    path = {
        "file": f"/files/{file}",
        "store": f"/vector_stores/{store}",
        "membership": f"/vector_stores/{store}/files/{file}",
    }
    await api.delete(path[what])
    api.reader.gate.set()
    await api.cleared()
    for kind in ("vector_store_file", "vector_store_chunks", "vector_store_membership"):
        assert await api.count(kind) == 0
    if what != "store":
        assert (await api.get(f"/vector_stores/{store}"))["file_counts"]["total"] == 0


async def test_a_file_that_was_taken_out_and_added_again_is_read_once_more(api: Api) -> None:
    store = await api.store()
    file = await api.file(WORDS)
    path = f"/vector_stores/{store}/files"
    api.reader.gate.clear()
    for _ in range(3):
        await api.post(path, {"file_id": file})
        await api.delete(f"{path}/{file}")
    await api.post(path, {"file_id": file})
    api.reader.gate.set()
    assert (await api.settled(store))["file_counts"]["completed"] == 1
    await api.cleared()
    assert await api.chunks() == 1


async def test_many_files_of_one_store_are_all_counted(api: Api) -> None:
    store = await api.store(*[f"text {n}" for n in range(60)])
    counts = (await api.get(f"/vector_stores/{store}"))["file_counts"]
    assert (counts["completed"], counts["total"]) == (60, 60)
    assert len(await api.search(store, "text 7", max_num_results=50)) == 50


async def test_files_come_no_faster_than_the_limit(tmp_path: Path, fixed_clock: FixedClock) -> None:
    settings = {"vector_stores": {"attaches_per_minute_max": 2}}
    async with server_of(clock=fixed_clock, data_dir=tmp_path, settings=settings) as server:
        api = Api(server)
        store, other = await api.store(), await api.store()
        body = {"file_id": await api.file()}
        await api.post(f"/vector_stores/{store}/files", body)
        fixed_clock.move(20)
        await api.post(f"/vector_stores/{store}/file_batches", {"file_ids": [body["file_id"]]})
        refused = await server.post(f"/v1/vector_stores/{store}/files", body)
        assert (refused.status_code, refused.headers["retry-after"]) == (429, "40")
        await api.post(f"/vector_stores/{other}/files", body)
        fixed_clock.move(40)
        await api.post(f"/vector_stores/{store}/files", body)


async def test_a_store_and_a_file_have_their_limits(
    tmp_path: Path, fixed_clock: FixedClock
) -> None:
    settings = {"vector_stores": {"files_per_store_max": 2, "stores_per_file_max": 2}}
    async with server_of(clock=fixed_clock, data_dir=tmp_path, settings=settings) as server:
        api = Api(server)
        store = await api.store("a", "b")
        file = await api.file()
        _, code, _ = await api.refused(f"/vector_stores/{store}/files", {"file_id": file})
        assert code == "vector_store_full"
        for _ in range(2):
            await api.post("/vector_stores", {"file_ids": [file]})
        param, code, _ = await api.refused("/vector_stores", {"file_ids": [file]})
        assert (param, code) == ("file_ids[0]", "too_many_vector_stores")
