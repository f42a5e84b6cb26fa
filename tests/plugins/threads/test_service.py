"""THREADS as the plugin that runs assistants uses it."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from famulus.testing import TestServer, kernel_with
from famulus_schemas.errors import Problem
from famulus_schemas.messages import CreateMessage, Message, Text, TextContentBlock
from famulus_schemas.records import Conflict
from famulus_schemas.threads import CreateThread
from famulus_schemas.tools import CreateFileSearchResources, CreateToolResources

pytestmark = pytest.mark.anyio


def said(text: str, role: Any = "user") -> CreateMessage:
    return CreateMessage(role=role, content=text)


def being_written(thread_id: str, **changes: Any) -> Message:
    return Message(
        id="msg_made",
        created_at=1,
        thread_id=thread_id,
        status="in_progress",
        completed_at=None,
        role="assistant",
        assistant_id="asst_1",
        run_id="run_1",
        **changes,
    )


async def texts(worker: Any, thread_id: str) -> list[str]:
    """The thread's texts as the port tells them, newest first."""
    history = worker.threads.history("default", thread_id)
    return [message.content[0].text.value async for message in history]


async def test_a_thread_made_by_another_plugin_is_there_once_its_unit_is(
    server: TestServer, worker: Any
) -> None:
    request = CreateThread(messages=[said("one"), said("two", "assistant")], metadata={"a": "b"})
    thread, unit = await worker.threads.create("default", request)
    assert (await server.get(f"/v1/threads/{thread.id}")).status_code == 404
    await worker.commit(unit)
    assert (await server.get(f"/v1/threads/{thread.id}")).json()["metadata"] == {"a": "b"}
    assert await worker.threads.get("default", thread.id) == thread
    assert await texts(worker, thread.id) == ["two", "one"]


async def test_a_thread_can_be_made_and_occupied_in_one_unit(worker: Any) -> None:
    thread, unit = await worker.threads.create("default", CreateThread())
    await worker.commit([*unit, *worker.threads.occupy(thread.id, "run_1")])
    assert await worker.occupant("default", thread.id) == "run_1"


async def test_faults_are_named_as_they_stand_in_the_callers_request(worker: Any) -> None:
    long = said("x" * 256_001)
    with pytest.raises(Problem) as refused:
        worker.threads.append("thread_1", [said("hi"), long])
    assert refused.value.body.param == "additional_messages[1].content"
    with pytest.raises(Problem) as refused:
        await worker.threads.create("default", CreateThread(messages=[long]), within="thread.")
    assert refused.value.body.param == "thread.messages[0].content"
    resources = CreateToolResources(file_search=CreateFileSearchResources())
    request = CreateThread(tool_resources=resources)
    with pytest.raises(Problem) as refused:
        await worker.threads.create("default", request, within="thread.")
    assert refused.value.body.param == "thread.tool_resources.file_search.vector_store_ids"
    with pytest.raises(Problem) as refused:
        await worker.threads.create("default", request, within="thread.", resources_within="")
    assert refused.value.body.param == "tool_resources.file_search.vector_store_ids"


async def test_messages_are_appended_to_an_occupied_thread(worker: Any, thread_id: str) -> None:
    await worker.occupy(thread_id)
    messages, unit = worker.threads.append(thread_id, [said("one"), said("two")])
    await worker.commit(unit)
    assert [message.content[0].text.value for message in messages] == ["one", "two"]
    assert await texts(worker, thread_id) == ["two", "one"]


async def test_nothing_appended_is_nothing_to_write(worker: Any) -> None:
    assert worker.threads.append("thread_1", []) == ([], [])


async def test_nothing_can_be_written_to_a_thread_that_is_not_there(worker: Any) -> None:
    _, appended = worker.threads.append("thread_9", [said("hi")])
    for unit in (
        appended,
        worker.threads.insert_message(being_written("thread_9")),
        worker.threads.occupy("thread_9", "run_1"),
    ):
        with pytest.raises(Conflict) as refused:
            await worker.commit(unit)
        assert (refused.value.kind, refused.value.reason) == ("thread", "missing")


async def test_a_taken_thread_cannot_be_taken_again(worker: Any, thread_id: str) -> None:
    await worker.occupy(thread_id, "run_1")
    with pytest.raises(Conflict) as refused:
        await worker.occupy(thread_id, "run_2")
    assert (refused.value.kind, refused.value.reason) == ("active_run", "exists")
    assert await worker.occupant("default", thread_id) == "run_1"


async def test_a_thread_is_free_once_vacated_however_often(worker: Any, thread_id: str) -> None:
    await worker.occupy(thread_id, "run_1")
    await worker.vacate(thread_id)
    await worker.vacate(thread_id)
    assert await worker.occupant("default", thread_id) is None
    await worker.occupy(thread_id, "run_2")
    assert await worker.occupant("default", thread_id) == "run_2"


async def test_the_run_that_lined_up_first_is_the_next(worker: Any, thread_id: str) -> None:
    await worker.occupy(thread_id, "run_1")
    for run_id in ("run_2", "run_3", "run_4"):
        occupancy = await worker.threads.occupancy("default", thread_id)
        await worker.commit(worker.threads.line_up(occupancy, run_id))
    for leaving, heir, left in (
        ("run_3", None, ("run_1", "run_2", "run_4")),
        ("run_1", "run_2", ("run_2", "run_4")),
        ("run_2", "run_4", ("run_4",)),
    ):
        occupancy = await worker.threads.occupancy("default", thread_id)
        unit, found = worker.threads.leave(occupancy, leaving)
        await worker.commit(unit)
        assert found == heir
        assert (await worker.threads.occupancy("default", thread_id)).runs == left
    await worker.vacate(thread_id)
    assert await worker.threads.occupancy("default", thread_id) is None


async def test_nobody_lines_up_or_leaves_by_what_is_no_longer_so(
    worker: Any, thread_id: str
) -> None:
    await worker.occupy(thread_id, "run_1")
    old = await worker.threads.occupancy("default", thread_id)
    await worker.commit(worker.threads.line_up(old, "run_2"))
    leaving, _ = worker.threads.leave(old, "run_1")
    for unit in (
        worker.threads.line_up(old, "run_3"),
        leaving,
        [worker.threads.unchanged(old)],
    ):
        with pytest.raises(Conflict) as refused:
            await worker.commit(unit)
        assert (refused.value.kind, refused.value.reason) == ("active_run", "version")
    assert (await worker.threads.occupancy("default", thread_id)).runs == ("run_1", "run_2")


async def test_what_was_read_before_the_thread_was_free_does_not_count_any_more(
    worker: Any, thread_id: str
) -> None:
    await worker.occupy(thread_id, "run_1")
    old = await worker.threads.occupancy("default", thread_id)
    await worker.vacate(thread_id)
    await worker.occupy(thread_id, "run_2")
    leaving, _ = worker.threads.leave(old, "run_1")
    for unit in (
        worker.threads.line_up(old, "run_3"),
        leaving,
        [worker.threads.unchanged(old)],
    ):
        with pytest.raises(Conflict) as refused:
            await worker.commit(unit)
        assert (refused.value.kind, refused.value.reason) == ("active_run", "fence")
    assert (await worker.threads.occupancy("default", thread_id)).runs == ("run_2",)


async def test_a_run_that_is_not_at_a_thread_has_nothing_to_leave(
    worker: Any, thread_id: str
) -> None:
    await worker.occupy(thread_id, "run_1")
    occupancy = await worker.threads.occupancy("default", thread_id)
    assert worker.threads.leave(occupancy, "run_9") == ([], None)


async def test_a_run_is_told_a_thread_without_what_follows_it(worker: Any, thread_id: str) -> None:
    await worker.commit(worker.threads.append(thread_id, [said("before")])[1])
    await worker.occupy(thread_id, "run_1")
    occupancy = await worker.threads.occupancy("default", thread_id)
    _, behind = worker.threads.append(thread_id, [said("behind")], behind=occupancy)
    await worker.commit(behind)
    await worker.commit(worker.threads.insert_message(being_written(thread_id)))
    told = [
        [message.id async for message in worker.threads.history("default", thread_id, **given)]
        for given in ({}, {"run_id": "run_1"}, {"run_id": "run_2"})
    ]
    before, after, own = "msg_1", "msg_2", being_written(thread_id).id
    assert told == [[after, own, before], [before], [after, own, before]]


async def test_another_project_has_no_part_in_an_occupation(worker: Any, thread_id: str) -> None:
    await worker.occupy(thread_id)
    assert await worker.occupant("other", thread_id) is None
    with pytest.raises(Problem) as refused:
        await worker.threads.get("other", thread_id)
    assert refused.value.status == 404
    assert [message async for message in worker.threads.history("other", thread_id)] == []


async def test_a_message_is_completed_with_the_metadata_that_it_has_by_then(
    server: TestServer, worker: Any, thread_id: str
) -> None:
    message = being_written(thread_id)
    await worker.commit(worker.threads.insert_message(message))
    path = f"/v1/threads/{thread_id}/messages/msg_made"
    await server.post(path, {"metadata": {"seen": "yes"}})
    done = replace(
        message, status="completed", content=[TextContentBlock(text=Text(value="hello"))]
    )
    await worker.commit(await worker.threads.replace_message("default", done))
    stored = (await server.get(path)).json()
    assert stored["status"] == "completed"
    assert stored["content"][0]["text"]["value"] == "hello"
    assert stored["metadata"] == {"seen": "yes"}
    listed = await server.get(f"/v1/threads/{thread_id}/messages?run_id=run_1")
    assert listed.json()["data"] == [stored]


async def test_a_metadata_change_between_reading_and_writing_refuses_the_unit(
    server: TestServer, worker: Any, thread_id: str
) -> None:
    message = being_written(thread_id)
    await worker.commit(worker.threads.insert_message(message))
    unit = await worker.threads.replace_message("default", message)
    path = f"/v1/threads/{thread_id}/messages/msg_made"
    await server.post(path, {"metadata": {"seen": "yes"}})
    with pytest.raises(Conflict) as refused:
        await worker.commit(unit)
    assert (refused.value.kind, refused.value.reason) == ("message", "version")
    await worker.commit(await worker.threads.replace_message("default", message))
    assert (await server.get(path)).json()["metadata"] == {"seen": "yes"}


async def test_a_deleted_message_cannot_be_replaced(
    server: TestServer, worker: Any, thread_id: str
) -> None:
    message = being_written(thread_id)
    await worker.commit(worker.threads.insert_message(message))
    await server.delete(f"/v1/threads/{thread_id}/messages/msg_made")
    with pytest.raises(Problem) as refused:
        await worker.threads.replace_message("default", message)
    assert refused.value.status == 404


async def test_one_message_is_found_in_its_own_thread_only(worker: Any, thread_id: str) -> None:
    [message], unit = worker.threads.append(thread_id, [said("hi")])
    await worker.commit(unit)
    assert await worker.threads.get_message("default", thread_id, message.id) == message
    with pytest.raises(Problem) as refused:
        await worker.threads.get_message("default", "thread_9", message.id)
    assert refused.value.status == 404


@pytest.mark.parametrize("count", [0, 1, 3, 4, 5, 9])
async def test_history_is_whole_over_page_borders(worker_with_small_pages: Any, count: int) -> None:
    worker = worker_with_small_pages
    requests = [said(str(i)) for i in range(count)]
    thread, unit = await worker.threads.create("default", CreateThread(messages=requests))
    await worker.commit(unit)
    assert await texts(worker, thread.id) == [str(i) for i in reversed(range(count))]


async def test_history_ends_where_the_thread_is_deleted_meanwhile(
    worker_with_small_pages: Any,
) -> None:
    worker = worker_with_small_pages
    requests = [said(str(i)) for i in range(9)]
    thread, unit = await worker.threads.create("default", CreateThread(messages=requests))
    await worker.commit(unit)
    seen = []
    async for message in worker.threads.history("default", thread.id):
        seen.append(message.content[0].text.value)
        if len(seen) == 1:
            await worker.server.delete(f"/v1/threads/{thread.id}")
    assert seen == ["8", "7", "6", "5"]


@pytest.fixture
async def worker_with_small_pages(worker: Any) -> Any:
    limits = {"threads": {"history_messages_per_read": 4}}
    async with kernel_with("sqlite", "threads", type(worker), settings=limits) as server:
        small = server.plugin("worker")
        small.server = server
        yield small
