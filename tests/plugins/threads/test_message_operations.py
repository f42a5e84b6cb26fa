"""Messages over HTTP: what is answered, what is refused, and how lists are paged."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from famulus.testing import FixedClock, TestServer, kernel_with
from famulus_schemas.messages import CreateMessage
from famulus_schemas.records import Conflict

pytestmark = pytest.mark.anyio


def error_of(response: Any) -> tuple[int, str, str | None, str | None]:
    error = response.json()["error"]
    assert error["type"] == "invalid_request_error"
    return response.status_code, error["message"], error["param"], error["code"]


def path_of(thread_id: str, message_id: str | None = None) -> str:
    path = f"/v1/threads/{thread_id}/messages"
    return path if message_id is None else f"{path}/{message_id}"


async def say(server: TestServer, thread_id: str, content: Any = "hi", **more: Any) -> str:
    """Add a message; its id."""
    body = {"role": "user", "content": content, **more}
    response = await server.post(path_of(thread_id), body)
    assert response.status_code == 200, response.text
    id: str = response.json()["id"]
    return id


async def ids_of(server: TestServer, thread_id: str, query: str = "") -> list[str]:
    response = await server.get(f"{path_of(thread_id)}?{query}")
    assert response.status_code == 200, response.text
    return [message["id"] for message in response.json()["data"]]


# --- create ---------------------------------------------------------------------------------------


async def test_a_message_has_every_field_of_the_contract(
    server: TestServer, thread_id: str
) -> None:
    response = await server.post(path_of(thread_id), {"role": "user", "content": "hi"})
    assert response.json() == {
        "id": "msg_1",
        "object": "thread.message",
        "created_at": 1_700_000_000,
        "thread_id": thread_id,
        "status": "completed",
        "incomplete_details": None,
        "completed_at": 1_700_000_000,
        "incomplete_at": None,
        "role": "user",
        "content": [{"type": "text", "text": {"value": "hi", "annotations": []}}],
        "assistant_id": None,
        "run_id": None,
        "attachments": [],
        "metadata": {},
    }


async def test_a_message_keeps_its_parts_attachments_and_metadata(
    server: TestServer, thread_id: str
) -> None:
    image_file = {"type": "image_file", "image_file": {"file_id": "file-1", "detail": "low"}}
    image_url = {"type": "image_url", "image_url": {"url": "https://a.example/b.png"}}
    attachments = [{"file_id": "file-2", "tools": [{"type": "file_search"}]}]
    response = await server.post(
        path_of(thread_id),
        {
            "role": "assistant",
            "content": [{"type": "text", "text": "see"}, image_file, image_url],
            "attachments": attachments,
            "metadata": {"k": "v"},
        },
    )
    message = response.json()
    image_url["image_url"]["detail"] = "auto"  # type: ignore[index]
    assert message["content"] == [
        {"type": "text", "text": {"value": "see", "annotations": []}},
        image_file,
        image_url,
    ]
    assert message["role"] == "assistant"
    assert message["attachments"] == attachments
    assert message["metadata"] == {"k": "v"}


async def test_a_message_is_retrieved_and_listed_as_it_was_answered(
    server: TestServer, thread_id: str
) -> None:
    body = {"role": "user", "content": "hi", "attachments": None, "metadata": None}
    created = await server.post(path_of(thread_id), body)
    assert (await server.get(path_of(thread_id, "msg_1"))).content == created.content
    assert (await server.get(path_of(thread_id))).json()["data"] == [created.json()]


@pytest.mark.parametrize(
    "content",
    [
        "é" * 256_001,
        [{"type": "text", "text": "x" * 128_001}, {"type": "text", "text": "x" * 128_000}],
    ],
    ids=["string", "parts"],
)
async def test_a_text_that_is_too_long_is_refused(
    server: TestServer, thread_id: str, content: Any
) -> None:
    refused = await server.post(path_of(thread_id), {"role": "user", "content": content})
    assert error_of(refused) == (
        400,
        (
            "Invalid 'content': string too long. Expected a string with maximum length 256000, "
            "but got a string with length 256001 instead."
        ),
        "content",
        "string_above_max_length",
    )


async def test_the_limit_counts_characters_not_bytes(server: TestServer, thread_id: str) -> None:
    await say(server, thread_id, "é" * 256_000)


async def test_the_text_limit_is_a_setting() -> None:
    limits = {"threads": {"message_characters_max": 3}}
    async with kernel_with("sqlite", "threads", settings=limits) as server:
        thread = (await server.post("/v1/threads")).json()["id"]
        await say(server, thread, "123")
        refused = await server.post(path_of(thread), {"role": "user", "content": "1234"})
        assert error_of(refused)[3] == "string_above_max_length"


@pytest.mark.parametrize(
    "body, error",
    [
        ({"role": "user"}, ("content", "missing_required_parameter")),
        ({"content": "hi"}, ("role", "missing_required_parameter")),
        ({"role": "system", "content": "hi"}, ("role", "invalid_value")),
        ({"role": "user", "content": []}, ("content", "empty_array")),
        ({"role": "user", "content": "hi", "file_ids": []}, ("file_ids", "unknown_parameter")),
        ({"role": "user", "content": 5}, ("content", "invalid_type")),
    ],
)
async def test_a_body_that_is_not_a_message_is_refused(
    server: TestServer, thread_id: str, body: dict[str, Any], error: tuple[str, str]
) -> None:
    refused = await server.post(path_of(thread_id), body)
    assert refused.status_code == 400
    assert (refused.json()["error"]["param"], refused.json()["error"]["code"]) == error
    assert await ids_of(server, thread_id) == []


async def test_a_message_needs_a_thread(server: TestServer) -> None:
    refused = await server.post(path_of("thread_9"), {"role": "user", "content": "hi"})
    assert error_of(refused) == (404, "No thread found with id 'thread_9'.", None, None)
    assert (await server.get(path_of("thread_9", "msg_1"))).status_code == 404


# --- while a run is active ------------------------------------------------------------------------


async def test_no_message_can_be_added_while_a_run_is_active(
    server: TestServer, worker: Any, thread_id: str
) -> None:
    await worker.occupy(thread_id, "run_7")
    refused = await server.post(path_of(thread_id), {"role": "user", "content": "hi"})
    assert error_of(refused) == (
        400,
        "Can't add messages to thread_1 while a run run_7 is active.",
        None,
        None,
    )
    await worker.vacate(thread_id)
    await say(server, thread_id)
    assert await ids_of(server, thread_id) == ["msg_2"]


async def test_a_run_on_one_thread_locks_no_other(
    server: TestServer, worker: Any, thread_id: str
) -> None:
    other = (await server.post("/v1/threads")).json()["id"]
    await worker.occupy(thread_id)
    await say(server, other)


async def test_messages_can_be_changed_and_deleted_while_a_run_is_active(
    server: TestServer, worker: Any, thread_id: str
) -> None:
    message = path_of(thread_id, await say(server, thread_id))
    await worker.occupy(thread_id)
    assert (await server.post(message, {"metadata": {"a": "b"}})).status_code == 200
    assert (await server.delete(message)).status_code == 200


@pytest.mark.parametrize("lead", [0, 1, 5, 20, 49])
async def test_no_message_slips_in_once_a_run_is_active(
    server: TestServer, worker: Any, thread_id: str, lead: int
) -> None:
    async def run() -> str:
        """Begin a run that brings a message of its own, which then must stay the last."""
        [own], added = worker.threads.append(thread_id, [CreateMessage(role="user", content="go")])
        await worker.commit([*added, *worker.threads.occupy(thread_id, "run_1")])
        id: str = own.id
        return id

    body = {"role": "user", "content": "hi"}
    posts = [asyncio.create_task(server.post(path_of(thread_id), body)) for _ in range(lead)]
    for _ in range(lead):
        await asyncio.sleep(0)
    running = asyncio.create_task(run())
    posts += [asyncio.create_task(server.post(path_of(thread_id), body)) for _ in range(50 - lead)]
    own = await running
    late = await asyncio.gather(*(server.post(path_of(thread_id), body) for _ in range(5)))
    answers = [*await asyncio.gather(*posts), *late]

    accepted = {a.json()["id"] for a in answers if a.status_code == 200}
    refused = [error_of(a)[:2] for a in answers if a.status_code != 200]
    error = (400, "Can't add messages to thread_1 while a run run_1 is active.")
    assert {answer.status_code for answer in late} == {400}
    assert refused == [error] * len(refused)
    listed = await ids_of(server, thread_id, "limit=100&order=asc")
    assert listed[-1] == own
    assert set(listed[:-1]) == accepted


async def test_of_many_runs_at_once_one_gets_the_thread(
    server: TestServer, worker: Any, thread_id: str
) -> None:
    outcomes = await asyncio.gather(
        *(worker.occupy(thread_id, f"run_{i}") for i in range(50)), return_exceptions=True
    )
    refused = [outcome for outcome in outcomes if isinstance(outcome, Conflict)]
    assert len(refused) == 49
    assert {conflict.kind for conflict in refused} == {"active_run"}
    winner = outcomes.index(None)
    assert await worker.occupant("default", thread_id) == f"run_{winner}"


async def test_a_message_is_accepted_or_refused_whole_while_runs_come_and_go(
    server: TestServer, worker: Any, thread_id: str
) -> None:
    async def runs() -> None:
        for i in range(20):
            await worker.occupy(thread_id, f"run_{i}")
            await worker.vacate(thread_id)

    coming = asyncio.create_task(runs())
    statuses = set()
    while not coming.done():
        answer = await server.post(path_of(thread_id), {"role": "user", "content": "hi"})
        statuses.add(answer.status_code)
    await coming
    assert statuses <= {200, 400, 503}
    await say(server, thread_id)


# --- list -----------------------------------------------------------------------------------------


async def test_messages_are_listed_newest_first(
    server: TestServer, thread_id: str, fixed_clock: FixedClock
) -> None:
    ids = []
    for _ in range(3):
        ids.append(await say(server, thread_id))
        fixed_clock.move(1)
    response = await server.get(path_of(thread_id))
    assert [message["id"] for message in response.json()["data"]] == ids[::-1]
    page = response.json()
    del page["data"]
    assert page == {
        "object": "list",
        "first_id": ids[2],
        "last_id": ids[0],
        "has_more": False,
    }
    assert await ids_of(server, thread_id, "order=asc") == ids


async def test_messages_of_one_second_keep_their_order(server: TestServer, thread_id: str) -> None:
    ids = [await say(server, thread_id) for _ in range(12)]
    assert await ids_of(server, thread_id, "order=asc") == ids
    assert await ids_of(server, thread_id, "order=desc") == ids[::-1]


async def test_an_empty_list_has_no_ends(server: TestServer, thread_id: str) -> None:
    assert (await server.get(path_of(thread_id))).json() == {
        "object": "list",
        "data": [],
        "first_id": None,
        "last_id": None,
        "has_more": False,
    }


async def test_a_page_has_twenty_messages_unless_asked_otherwise(
    server: TestServer, thread_id: str
) -> None:
    for _ in range(21):
        await say(server, thread_id)
    response = await server.get(path_of(thread_id))
    assert (len(response.json()["data"]), response.json()["has_more"]) == (20, True)
    assert len(await ids_of(server, thread_id, "limit=100")) == 21


async def test_before_gives_the_page_that_ends_there(server: TestServer, thread_id: str) -> None:
    ids = [await say(server, thread_id) for _ in range(6)]
    assert await ids_of(server, thread_id, f"order=asc&before={ids[4]}&limit=2") == ids[2:4]
    assert await ids_of(server, thread_id, f"order=asc&after={ids[0]}&before={ids[3]}") == ids[1:3]


async def test_a_deleted_message_still_works_as_a_cursor(
    server: TestServer, thread_id: str
) -> None:
    ids = [await say(server, thread_id) for _ in range(4)]
    await server.delete(path_of(thread_id, ids[1]))
    assert await ids_of(server, thread_id, f"order=asc&after={ids[1]}") == ids[2:]
    assert await ids_of(server, thread_id, f"order=desc&after={ids[1]}") == ids[:1]


@pytest.mark.parametrize("name", ["after", "before"])
async def test_an_unknown_cursor_is_refused(server: TestServer, thread_id: str, name: str) -> None:
    refused = await server.get(f"{path_of(thread_id)}?{name}=msg_9")
    assert error_of(refused) == (
        400,
        f"No object found with id 'msg_9' to use as '{name}'.",
        name,
        None,
    )


async def test_another_threads_message_is_no_cursor(server: TestServer, thread_id: str) -> None:
    other = (await server.post("/v1/threads")).json()["id"]
    message = await say(server, other)
    refused = await server.get(f"{path_of(thread_id)}?after={message}")
    assert error_of(refused)[:1] == (400,)


@pytest.mark.parametrize(
    "query, code",
    [
        ("limit=0", "integer_below_min_value"),
        ("limit=101", "integer_above_max_value"),
        ("limit=many", "invalid_type"),
        ("order=up", "invalid_value"),
    ],
)
async def test_a_query_that_asks_for_no_page_is_refused(
    server: TestServer, thread_id: str, query: str, code: str
) -> None:
    refused = await server.get(f"{path_of(thread_id)}?{query}")
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, code)
    assert refused.json()["error"]["param"] == query.partition("=")[0]


async def test_a_list_can_be_held_to_what_one_run_wrote(
    server: TestServer, worker: Any, thread_id: str
) -> None:
    first = await say(server, thread_id)
    made = await worker.threads.get_message("default", thread_id, first)
    for n, run in enumerate(["run_1", "run_2", "run_1"]):
        message = replace(made, id=f"msg_of_run_{n}", run_id=run, role="assistant")
        await worker.commit(worker.threads.insert_message(message))
    assert await ids_of(server, thread_id, "run_id=run_1&order=asc") == [
        "msg_of_run_0",
        "msg_of_run_2",
    ]
    assert await ids_of(server, thread_id, "run_id=run_1&limit=1") == ["msg_of_run_2"]
    assert await ids_of(server, thread_id, "run_id=run_1&after=msg_of_run_2") == ["msg_of_run_0"]
    assert await ids_of(server, thread_id, "run_id=run_9") == []


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    count=st.integers(0, 8),
    order=st.sampled_from(["asc", "desc"]),
    limits=st.lists(st.integers(1, 4), min_size=9, max_size=9),
    doomed=st.lists(st.sets(st.integers(0, 7)), min_size=9, max_size=9),
)
async def test_pages_add_up_to_the_list_though_messages_are_deleted_meanwhile(
    server: TestServer, count: int, order: str, limits: list[int], doomed: list[set[int]]
) -> None:
    thread = (await server.post("/v1/threads")).json()["id"]
    ids = [await say(server, thread) for _ in range(count)]
    left = ids[::-1] if order == "desc" else list(ids)
    after = ""
    for limit, deleted in zip(limits, doomed, strict=True):
        page = await server.get(f"{path_of(thread)}?order={order}&limit={limit}{after}")
        assert [message["id"] for message in page.json()["data"]] == left[:limit]
        assert page.json()["has_more"] == (len(left) > limit)
        if not page.json()["has_more"]:
            break
        after = f"&after={page.json()['last_id']}"
        gone = {ids[n] for n in deleted if n < count}
        for id in gone:
            await server.delete(path_of(thread, id))
        left = [id for id in left[limit:] if id not in gone]
    else:
        pytest.fail("nine pages of at least one message hold eight messages")


# --- retrieve, modify, delete ---------------------------------------------------------------------


async def test_a_message_of_another_thread_is_not_found(server: TestServer, thread_id: str) -> None:
    other = (await server.post("/v1/threads")).json()["id"]
    message = await say(server, other)
    for response in (
        await server.get(path_of(thread_id, message)),
        await server.post(path_of(thread_id, message), {"metadata": {"a": "b"}}),
        await server.delete(path_of(thread_id, message)),
    ):
        assert error_of(response) == (404, f"No message found with id '{message}'.", None, None)
    assert (await server.get(path_of(other, message))).json()["metadata"] == {}


async def test_only_the_metadata_of_a_message_can_be_changed(
    server: TestServer, thread_id: str
) -> None:
    path = path_of(thread_id, await say(server, thread_id, metadata={"a": "1"}))
    refused = await server.post(path, {"content": "other"})
    assert error_of(refused) == (
        400,
        "Unknown parameter: 'content'.",
        "content",
        "unknown_parameter",
    )
    assert (await server.post(path, {})).json()["metadata"] == {"a": "1"}
    changed = await server.post(path, {"metadata": {"b": "2"}})
    assert changed.json()["metadata"] == {"b": "2"}
    assert (await server.get(path)).content == changed.content
    assert (await server.post(path, {"metadata": None})).json()["metadata"] == {}


async def test_a_deleted_message_is_gone(server: TestServer, thread_id: str) -> None:
    kept = await say(server, thread_id)
    path = path_of(thread_id, await say(server, thread_id))
    assert (await server.delete(path)).json() == {
        "id": "msg_2",
        "object": "thread.message.deleted",
        "deleted": True,
    }
    for response in (
        await server.get(path),
        await server.post(path, {"metadata": {}}),
        await server.delete(path),
    ):
        assert error_of(response) == (404, "No message found with id 'msg_2'.", None, None)
    assert await ids_of(server, thread_id) == [kept]


async def test_of_many_deletions_at_once_one_succeeds(server: TestServer, thread_id: str) -> None:
    path = path_of(thread_id, await say(server, thread_id))
    answers = await asyncio.gather(*(server.delete(path) for _ in range(20)))
    assert sorted(answer.status_code for answer in answers) == [200] + [404] * 19
