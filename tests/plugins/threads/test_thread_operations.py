"""Threads over HTTP: what is answered, and what is refused with which words."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from famulus import hookimpl
from famulus.plugin import NoSettings, Plugin, need
from famulus.testing import FixedClock, NumberedIds, TestServer, kernel_with
from famulus_schemas.identity import Principal
from famulus_schemas.ports import RECORDS
from famulus_schemas.records import Clear, Insert, Kind, Unit, Write

pytestmark = pytest.mark.anyio

THREADS = "/v1/threads"
NOT_FOUND = {
    "error": {
        "message": "No thread found with id 'thread_9'.",
        "type": "invalid_request_error",
        "param": None,
        "code": None,
    }
}


def error_of(response: Any) -> tuple[int, str, str | None, str | None]:
    error = response.json()["error"]
    assert error["type"] == "invalid_request_error"
    return response.status_code, error["message"], error["param"], error["code"]


async def messages_of(server: TestServer, thread_id: str) -> list[str]:
    """The texts of a thread, oldest first."""
    page = await server.get(f"{THREADS}/{thread_id}/messages?order=asc&limit=100")
    return [message["content"][0]["text"]["value"] for message in page.json()["data"]]


@pytest.mark.parametrize("body", [None, {}, {"messages": [], "metadata": None}])
async def test_a_thread_needs_nothing_to_begin_with(server: TestServer, body: Any) -> None:
    response = await server.post(THREADS, body)
    assert response.status_code == 200
    assert response.json() == {
        "id": "thread_1",
        "object": "thread",
        "created_at": 1_700_000_000,
        "tool_resources": {},
        "metadata": {},
    }


async def test_a_thread_is_retrieved_as_it_was_answered(server: TestServer) -> None:
    resources = {"code_interpreter": {"file_ids": ["file-1"]}}
    created = await server.post(THREADS, {"tool_resources": resources, "metadata": {"a": "b"}})
    assert created.json()["tool_resources"] == resources
    assert created.json()["metadata"] == {"a": "b"}
    assert (await server.get(f"{THREADS}/thread_1")).content == created.content


async def test_a_thread_keeps_the_vector_stores_that_it_names(server: TestServer) -> None:
    resources = {"file_search": {"vector_store_ids": ["vs_1"]}}
    created = await server.post(THREADS, {"tool_resources": resources})
    assert created.json()["tool_resources"] == resources


async def test_a_thread_begins_with_its_messages_in_their_order(server: TestServer) -> None:
    messages = [{"role": "user", "content": str(i)} for i in range(30)]
    created = await server.post(THREADS, {"messages": messages})
    assert await messages_of(server, created.json()["id"]) == [str(i) for i in range(30)]


async def test_a_thread_begins_with_at_most_512_messages(server: TestServer) -> None:
    messages = [{"role": "user", "content": "x"}] * 512
    assert (await server.post(THREADS, {"messages": messages})).status_code == 200
    refused = await server.post(THREADS, {"messages": [*messages, messages[0]]})
    assert error_of(refused) == (
        400,
        (
            "Invalid 'messages': array too long. Expected an array with maximum length 512, "
            "but got an array with length 513 instead."
        ),
        "messages",
        "array_above_max_length",
    )


async def test_a_message_that_is_too_long_is_named_by_its_place(server: TestServer) -> None:
    long = {"role": "user", "content": "x" * 256_001}
    refused = await server.post(
        THREADS, {"messages": [{"role": "user", "content": "x" * 256_000}, long]}
    )
    status, message, param, code = error_of(refused)
    assert (status, param, code) == (400, "messages[1].content", "string_above_max_length")
    assert message.startswith("Invalid 'messages[1].content': string too long.")
    assert (await server.get(f"{THREADS}/thread_1")).status_code == 404


@pytest.mark.parametrize(
    "file_search, error",
    [
        (
            {"vector_stores": [{"file_ids": ["file-1"]}]},
            (
                400,
                (
                    "This server has no vector stores, so it cannot make what "
                    "'tool_resources.file_search.vector_stores' asks for. Leave it out."
                ),
                "tool_resources.file_search.vector_stores",
                "unsupported",
            ),
        ),
        (
            {"vector_stores": [{}], "vector_store_ids": ["vs_1"]},
            (
                400,
                (
                    "Invalid 'tool_resources.file_search.vector_stores': it may not be given "
                    "together with vector_store_ids."
                ),
                "tool_resources.file_search.vector_stores",
                "invalid_value",
            ),
        ),
        (
            {},
            (
                400,
                "Missing required parameter: 'tool_resources.file_search.vector_store_ids'.",
                "tool_resources.file_search.vector_store_ids",
                "missing_required_parameter",
            ),
        ),
        (
            {
                "vector_stores": [
                    {
                        "chunking_strategy": {
                            "type": "static",
                            "static": {"max_chunk_size_tokens": 100, "chunk_overlap_tokens": 51},
                        }
                    }
                ]
            },
            (
                400,
                (
                    "Invalid 'tool_resources.file_search.vector_stores[0].chunking_strategy.static."
                    "chunk_overlap_tokens': it may be at most half of max_chunk_size_tokens."
                ),
                (
                    "tool_resources.file_search.vector_stores[0].chunking_strategy.static."
                    "chunk_overlap_tokens"
                ),
                "invalid_value",
            ),
        ),
    ],
)
async def test_vector_stores_that_cannot_be_had_are_refused(
    server: TestServer, file_search: dict[str, Any], error: tuple[Any, ...]
) -> None:
    refused = await server.post(THREADS, {"tool_resources": {"file_search": file_search}})
    assert error_of(refused) == error


async def test_an_unknown_parameter_is_refused(server: TestServer, thread_id: str) -> None:
    for path in (THREADS, f"{THREADS}/{thread_id}"):
        refused = await server.post(path, {"colour": "red"})
        assert error_of(refused) == (
            400,
            "Unknown parameter: 'colour'.",
            "colour",
            "unknown_parameter",
        )


async def test_what_is_absent_stays_and_what_is_null_is_cleared(server: TestServer) -> None:
    resources = {"code_interpreter": {"file_ids": ["file-1"]}}
    await server.post(THREADS, {"metadata": {"a": "1"}, "tool_resources": resources})
    path = f"{THREADS}/thread_1"

    unchanged = (await server.post(path, {})).json()
    assert (unchanged["metadata"], unchanged["tool_resources"]) == ({"a": "1"}, resources)

    named = (await server.post(path, {"metadata": {"b": "2"}})).json()
    assert (named["metadata"], named["tool_resources"]) == ({"b": "2"}, resources)

    cleared = await server.post(path, {"metadata": None, "tool_resources": None})
    assert cleared.json()["metadata"] == {}
    assert cleared.json()["tool_resources"] == {}
    assert (await server.get(path)).content == cleared.content


async def test_many_changes_at_once_are_all_written(server: TestServer, thread_id: str) -> None:
    answers = await asyncio.gather(
        *(server.post(f"{THREADS}/{thread_id}", {"metadata": {"n": str(i)}}) for i in range(50))
    )
    assert [(a.status_code, a.json()["metadata"]["n"]) for a in answers] == [
        (200, str(i)) for i in range(50)
    ]


async def test_a_deleted_thread_is_gone_with_its_messages(
    server: TestServer, thread_id: str
) -> None:
    path = f"{THREADS}/{thread_id}"
    await server.post(f"{path}/messages", {"role": "user", "content": "hi"})
    assert (await server.get(f"{path}/messages/msg_1")).status_code == 200

    deleted = await server.delete(path)
    assert deleted.json() == {"id": thread_id, "object": "thread.deleted", "deleted": True}

    for response in (
        await server.get(path),
        await server.post(path, {}),
        await server.delete(path),
        await server.get(f"{path}/messages"),
        await server.post(f"{path}/messages", {"role": "user", "content": "hi"}),
    ):
        assert error_of(response) == (404, f"No thread found with id '{thread_id}'.", None, None)
    gone = await server.get(f"{path}/messages/msg_1")
    assert error_of(gone) == (404, "No message found with id 'msg_1'.", None, None)


async def test_a_thread_deleted_while_a_run_is_active_leaves_no_lock(
    server: TestServer, worker: Any, thread_id: str
) -> None:
    await worker.occupy(thread_id)
    assert (await server.delete(f"{THREADS}/{thread_id}")).status_code == 200
    assert await worker.occupant("default", thread_id) is None


@pytest.mark.parametrize("id", ["thread_9", "asst_1", "undefined", "%00", "ä", "x" * 2000])
async def test_an_id_that_nobody_has_is_not_found(server: TestServer, id: str) -> None:
    for response in (
        await server.get(f"{THREADS}/{id}"),
        await server.post(f"{THREADS}/{id}", {"metadata": {}}),
        await server.delete(f"{THREADS}/{id}"),
    ):
        assert response.status_code == 404
        assert response.json()["error"]["message"].startswith("No thread found with id ")


async def test_a_missing_thread_is_worded_as_openai_words_it(server: TestServer) -> None:
    assert (await server.get(f"{THREADS}/thread_9")).json() == NOT_FOUND


class Keeper(Plugin[NoSettings]):
    """Keeps a record under each thread, and has it removed together with the thread."""

    name = "keeper"
    records = need(RECORDS)

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.actions: list[tuple[str, int]] = []

    @hookimpl
    async def join_unit(self, principal: Principal, action: str, unit: Unit) -> list[Write]:
        self.actions.append((action, len(unit)))
        if action == "threads.delete":
            return [Clear(kind="kept", parent=unit[0].id)]
        return []


async def test_other_plugins_records_go_with_the_thread() -> None:
    async with kernel_with("sqlite", "threads", Keeper, make_id=NumberedIds()) as server:
        keeper = server.plugin("keeper")
        await keeper.records.declare(Kind(name="kept"))
        for thread in ("thread_1", "thread_2"):
            await server.post(THREADS)
            kept = Insert(kind="kept", id=f"of {thread}", parent=thread, created_at=1, body=b"{}")
            await keeper.records.of("default").commit([kept])
        await server.delete(f"{THREADS}/thread_1")
        assert await keeper.records.of("default").get("kept", "of thread_1") is None
        assert await keeper.records.of("default").get("kept", "of thread_2") is not None


async def test_every_change_can_be_joined_by_other_plugins() -> None:
    async with kernel_with("sqlite", "threads", Keeper, make_id=NumberedIds()) as server:
        await server.post(THREADS)
        await server.post(f"{THREADS}/thread_1", {"metadata": {"a": "b"}})
        messages = f"{THREADS}/thread_1/messages"
        await server.post(messages, {"role": "user", "content": "hi"})
        await server.post(f"{messages}/msg_1", {"metadata": {"a": "b"}})
        await server.delete(f"{messages}/msg_1")
        await server.delete(f"{THREADS}/thread_1")
        assert [action for action, _ in server.plugin("keeper").actions] == [
            "threads.create",
            "threads.modify",
            "messages.create",
            "messages.modify",
            "messages.delete",
            "threads.delete",
        ]


async def test_another_projects_thread_is_as_one_that_is_not_there(
    server: TestServer, thread_id: str
) -> None:
    other = {"x-test-project": "other"}
    path = f"{THREADS}/{thread_id}"
    await server.post(f"{path}/messages", {"role": "user", "content": "mine"})
    message = f"{path}/messages/msg_1"
    for response in (
        await server.get(path, headers=other),
        await server.post(path, {"metadata": {"x": "y"}}, headers=other),
        await server.delete(path, headers=other),
        await server.get(f"{path}/messages", headers=other),
        await server.post(f"{path}/messages", {"role": "user", "content": "x"}, headers=other),
    ):
        assert error_of(response) == (404, "No thread found with id 'thread_1'.", None, None)
    for response in (
        await server.get(message, headers=other),
        await server.post(message, {"metadata": {"x": "y"}}, headers=other),
        await server.delete(message, headers=other),
    ):
        assert error_of(response) == (404, "No message found with id 'msg_1'.", None, None)
    assert (await server.get(path)).json()["metadata"] == {}
    assert await messages_of(server, thread_id) == ["mine"]


async def test_two_projects_may_have_a_thread_of_one_id(tmp_path: Any) -> None:
    async with kernel_with("sqlite", "threads", data_dir=tmp_path, make_id=NumberedIds()) as one:
        await one.post(THREADS, {"metadata": {"of": "default"}})
    async with kernel_with("sqlite", "threads", data_dir=tmp_path, make_id=NumberedIds()) as two:
        other = {"x-test-project": "other"}
        await two.post(THREADS, {"metadata": {"of": "other"}}, headers=other)
        path = f"{THREADS}/thread_1"
        assert (await two.get(path)).json()["metadata"] == {"of": "default"}
        assert (await two.get(path, headers=other)).json()["metadata"] == {"of": "other"}


async def test_a_thread_and_its_messages_survive_a_restart(
    tmp_path: Any, fixed_clock: FixedClock
) -> None:
    async with kernel_with("sqlite", "threads", data_dir=tmp_path, clock=fixed_clock) as server:
        created = await server.post(THREADS, {"messages": [{"role": "user", "content": "hi"}]})
        path = f"{THREADS}/{created.json()['id']}"
        before = (await server.get(path)).content, (await server.get(f"{path}/messages")).content
    async with kernel_with("sqlite", "threads", data_dir=tmp_path, clock=fixed_clock) as server:
        after = (await server.get(path)).content, (await server.get(f"{path}/messages")).content
    assert after == before
