"""Stores that come with assistants, threads and messages."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from tests.plugins.vector_stores.conftest import Api, server_of

from famulus.testing import FixedClock, TestServer

pytestmark = pytest.mark.anyio
DAY_S = 86_400
SEARCH = [{"type": "file_search"}]


@pytest.fixture
async def server(fixed_clock: FixedClock, tmp_path: Path) -> AsyncIterator[TestServer]:
    async with server_of(
        "assistants", "threads", "runs", clock=fixed_clock, data_dir=tmp_path
    ) as started:
        yield started


def store_in(thing: Any) -> str | None:
    """The one store of what has tool resources."""
    found = thing["tool_resources"].get("file_search", {}).get("vector_store_ids", [])
    return found[0] if found else None


def message(*files: str, text: str = "See the file.") -> dict[str, Any]:
    """A message with files to be searched."""
    attachments = [{"file_id": file, "tools": SEARCH} for file in files]
    return {"role": "user", "content": text, "attachments": attachments}


async def thread_store(api: Api, thread: str) -> str:
    store = store_in(await api.get(f"/threads/{thread}"))
    assert store is not None
    return store


async def ids_in(api: Api, store: str) -> set[str]:
    await api.settled(store)
    return {each["id"] for each in await api.files_of(store)}


@pytest.mark.parametrize("what", ["/assistants", "/threads"])
async def test_a_store_is_made_along_with_what_it_is_for(api: Api, what: str) -> None:
    file = await api.file("some words")
    wanted = {"file_ids": [file], "metadata": {"a": "b"}}
    body = {"tool_resources": {"file_search": {"vector_stores": [wanted]}}}
    made = await api.post(what, body | ({"model": "m"} if what == "/assistants" else {}))
    store = store_in(made)
    assert store is not None
    assert await ids_in(api, store) == {file}
    found = await api.get(f"/vector_stores/{store}")
    assert (found["metadata"], found["expires_at"]) == ({"a": "b"}, None)
    assert store_in(await api.get(f"{what}/{made['id']}")) == store
    wanted["file_ids"] = ["file-none"]
    param, _, _ = await api.refused(what, body | {"model": "m"} if "assis" in what else body)
    assert param == "tool_resources.file_search.vector_stores[0].file_ids[0]"
    assert len((await api.get("/vector_stores"))["data"]) == 1


async def test_stores_that_are_named_must_be_there(api: Api) -> None:
    assistant = (await api.post("/assistants", {"model": "m"}))["id"]
    thread = (await api.post("/threads"))["id"]
    body = {"tool_resources": {"file_search": {"vector_store_ids": ["vs_none"]}}}
    within = "tool_resources.file_search.vector_store_ids[0]"
    for path, given, param in (
        ("/assistants", {"model": "m", **body}, within),
        (f"/assistants/{assistant}", body, within),
        ("/threads", body, within),
        (f"/threads/{thread}", body, within),
        ("/threads/runs", {"assistant_id": assistant, "thread": body}, f"thread.{within}"),
    ):
        found, _, text = await api.refused(path, given, status=404)
        assert (found, text) == (param, "No vector store found with id 'vs_none'.")
    store = await api.store()
    body["tool_resources"]["file_search"]["vector_store_ids"] = [store]
    assert store_in(await api.post(f"/threads/{thread}", body)) == store


async def test_a_file_of_a_message_comes_into_the_threads_store(
    api: Api, fixed_clock: FixedClock
) -> None:
    thread = (await api.post("/threads"))["id"]
    one, two = await api.file("one"), await api.file("two")
    sent = await api.post(f"/threads/{thread}/messages", message(one))
    assert sent["attachments"] == [{"file_id": one, "tools": SEARCH}]
    store = await thread_store(api, thread)
    found = await api.get(f"/vector_stores/{store}")
    assert found["expires_after"] == {"anchor": "last_active_at", "days": 7}
    assert found["expires_at"] == fixed_clock.at + 7 * DAY_S
    await api.post(f"/threads/{thread}/messages", message(one, two))
    assert await thread_store(api, thread) == store
    assert await ids_in(api, store) == {one, two}
    assert api.reader.begun == 2
    # A store that has expired, or is gone, is replaced.
    fixed_clock.move(8 * DAY_S)
    await api.post(f"/threads/{thread}/messages", message(two))
    other = await thread_store(api, thread)
    assert other != store
    assert await ids_in(api, other) == {two}
    await api.delete(f"/vector_stores/{other}")
    await api.post(f"/threads/{thread}/messages", message(one))
    assert await ids_in(api, await thread_store(api, thread)) == {one}
    await api.refused("/threads/thread_none/messages", message(one), status=404)


async def test_files_that_are_not_to_be_searched_make_no_store(api: Api) -> None:
    thread = (await api.post("/threads"))["id"]
    file = await api.file()
    body = message(file)
    body["attachments"][0]["tools"] = [{"type": "code_interpreter"}]
    await api.post(f"/threads/{thread}/messages", body)
    assert store_in(await api.get(f"/threads/{thread}")) is None
    assert (await api.get("/vector_stores"))["data"] == []


async def test_the_messages_of_a_new_thread_share_its_store(api: Api) -> None:
    one, two, three = [await api.file(each) for each in ("one", "two", "three")]
    messages = {"messages": [message(one), message(two, one)]}
    thread = await api.post("/threads", messages)
    store = store_in(thread)
    assert store is not None
    assert await ids_in(api, store) == {one, two}
    # With a store that is asked for, or named, they come into that one.
    wanted = {"file_search": {"vector_stores": [{"file_ids": [three]}]}}
    asked = store_in(await api.post("/threads", {**messages, "tool_resources": wanted}))
    assert asked is not None
    assert await ids_in(api, asked) == {one, two, three}
    assert (await api.get(f"/vector_stores/{asked}"))["expires_at"] is None
    own = await api.store()
    named = {"file_search": {"vector_store_ids": [own]}}
    thread = await api.post("/threads", {**messages, "tool_resources": named})
    assert store_in(thread) == own
    assert await ids_in(api, own) == {one, two}


async def test_runs_bring_files_along(api: Api) -> None:
    assistant = (await api.post("/assistants", {"model": "famulus-echo"}))["id"]
    one, two = await api.file("one"), await api.file("two")
    body = {"assistant_id": assistant, "thread": {"messages": [message(one)]}}
    run = await api.post("/threads/runs", body)
    thread = run["thread_id"]
    store = await thread_store(api, thread)
    assert await ids_in(api, store) == {one}
    async with asyncio.timeout(30):
        while run["status"] in ("queued", "in_progress"):
            run = await api.get(f"/threads/{thread}/runs/{run['id']}")
            await asyncio.sleep(0.01)
    more = {"assistant_id": assistant, "additional_messages": [message(two, one)]}
    await api.post(f"/threads/{thread}/runs", more)
    assert await thread_store(api, thread) == store
    assert await ids_in(api, store) == {one, two}
    bad = {"assistant_id": assistant, "additional_messages": [message("file-none")]}
    param, _, _ = await api.refused(f"/threads/{thread}/runs", bad)
    assert param == "additional_messages[0].attachments[0].file_id"


async def test_many_messages_at_once_make_one_store(api: Api) -> None:
    thread = (await api.post("/threads"))["id"]
    files = [await api.file(f"text {n}") for n in range(8)]
    path = f"/threads/{thread}/messages"
    await asyncio.gather(*(api.post(path, message(file)) for file in files))
    store = await thread_store(api, thread)
    assert await ids_in(api, store) == set(files)
    assert [each["id"] for each in (await api.get("/vector_stores"))["data"]] == [store]
