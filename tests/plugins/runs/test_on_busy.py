"""A thread that a run has: it refuses what comes, lets it wait for its turn, or is made free."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest
from openai import AsyncOpenAI
from tests.plugins.runs.conftest import PLUGINS, Api, ToolPlugin
from tests.plugins.shared_store import SharedStore

from famulus.testing import (
    FixedClock,
    Script,
    ScriptedBackend,
    faults,
    kernel_with,
    live_server,
    make_kernel,
    tool,
)

OpenApi = Callable[..., AbstractAsyncContextManager[Api]]

BOOK = {"type": "function", "function": {"name": "book_table"}}
ENDS = ("completed", "failed", "cancelled", "expired", "incomplete")
KEY = "sk-test-key-of-busy-threads"


def asking(on_busy: str | None) -> dict[str, str]:
    """The header that says what is wanted of a busy thread."""
    return {} if on_busy is None else {"X-Famulus-On-Busy": on_busy}


async def create(
    api: Api, thread: str, assistant: str, on_busy: str | None = "queue", **fields: Any
) -> Any:
    """The answer to creating a run."""
    body = {"assistant_id": assistant, **fields}
    return await api.server.post(f"/v1/threads/{thread}/runs", body, headers=asking(on_busy))


async def created(
    api: Api, thread: str, assistant: str, on_busy: str | None = "queue", **fields: Any
) -> Any:
    """A new run, as answered."""
    return await api.ok(await create(api, thread, assistant, on_busy, **fields))


async def say(api: Api, thread: str, text: str, on_busy: str | None = "queue") -> Any:
    """The answer to posting a message."""
    body = {"role": "user", "content": text}
    return await api.server.post(f"/v1/threads/{thread}/messages", body, headers=asking(on_busy))


async def now(api: Api, run: Any) -> Any:
    """The run as it is."""
    path = f"/v1/threads/{run['thread_id']}/runs/{run['id']}"
    return await api.ok(await api.server.get(path))


async def over(api: Api, run: Any) -> Any:
    """The run once it is over."""
    async with asyncio.timeout(20):
        while (found := await now(api, run))["status"] not in ENDS:
            await asyncio.sleep(0.005)
    return found


def shown(api: Api, request: int) -> list[tuple[str, Any]]:
    """What the model was shown with a request; the first is 1."""
    chat = api.backend.chats[request - 1].chat
    assert chat is not None
    return [(message.role, message.content) for message in chat.messages]


# --- refuse -----------------------------------------------------------------------------------


@pytest.mark.parametrize("on_busy", [None, "refuse"])
async def test_a_busy_thread_refuses_runs_and_messages_as_openai_did(
    open_api: OpenApi, on_busy: str | None
) -> None:
    go_on = asyncio.Event()
    async with open_api(Script().says("One.").waits_for(go_on)) as api:
        thread, assistant = await api.thread("hi"), await api.assistant()
        run = await created(api, thread, assistant, on_busy)
        refused = await create(api, thread, assistant, on_busy)
        assert refused.status_code == 400
        text = f"Thread {thread} already has an active run {run['id']}."
        assert refused.json()["error"]["message"] == text
        refused = await say(api, thread, "and", on_busy)
        assert refused.status_code == 400
        text = f"Can't add messages to {thread} while a run {run['id']} is active."
        assert refused.json()["error"]["message"] == text
        go_on.set()
        assert (await over(api, run))["status"] == "completed"
        assert len(await api.messages(thread)) == 2


async def test_an_unknown_wish_is_refused_with_the_header_and_its_values(open_api: OpenApi) -> None:
    async with open_api() as api:
        thread, assistant = await api.thread("hi"), await api.assistant()
        body = {"assistant_id": assistant}
        path, headers = "/v1/threads/runs", asking("wait")
        for refused in (
            await create(api, thread, assistant, "wait"),
            await say(api, thread, "and", "wait"),
            await api.server.post(path, body, headers=headers),
        ):
            assert refused.status_code == 400
            error = refused.json()["error"]
            assert error["param"] == "X-Famulus-On-Busy"
            assert error["message"] == (
                "Invalid 'X-Famulus-On-Busy': 'wait' is none of its values, which are "
                "refuse, queue, cancel."
            )
        assert len(await api.messages(thread)) == 1


async def test_the_setting_counts_where_there_is_no_header(tmp_path: Path) -> None:
    go_on = asyncio.Event()
    backend = ScriptedBackend(Script().says("One.").waits_for(go_on).says("Two."))
    tables = {"threads": {"on_busy": "queue"}}
    async with kernel_with(*PLUGINS, backend=backend, settings=tables, data_dir=tmp_path) as server:
        api = Api(server, backend)
        thread, assistant = await api.thread("hi"), await api.assistant()
        first = await created(api, thread, assistant, None)
        second = await created(api, thread, assistant, None)
        await api.ok(await say(api, thread, "and", None))
        assert (await create(api, thread, assistant, "refuse")).status_code == 400
        assert (await say(api, thread, "or", "refuse")).status_code == 400
        go_on.set()
        assert [(await over(api, run))["status"] for run in (first, second)] == ["completed"] * 2


# --- queue: runs ------------------------------------------------------------------------------


async def test_a_run_waits_for_the_one_before_it_and_is_shown_its_answer(open_api: OpenApi) -> None:
    go_on = asyncio.Event()
    script = Script().says("First.").waits_for(go_on).says("Second.")
    async with open_api(script) as api:
        thread, assistant = await api.thread("hi"), await api.assistant()
        first = await created(api, thread, assistant)
        await api.backend.arrived()
        second = await created(api, thread, assistant)
        assert (second["status"], second["started_at"]) == ("queued", None)
        await asyncio.sleep(0.1)
        assert (await now(api, second))["status"] == "queued"
        assert len(api.backend.chats) == 1
        go_on.set()
        ended = [await over(api, run) for run in (first, second)]
        assert [run["status"] for run in ended] == ["completed", "completed"]
        assert shown(api, 2) == [("user", "hi"), ("assistant", "First.")]


async def test_runs_that_come_all_at_once_are_done_in_the_order_of_the_list(
    open_api: OpenApi,
) -> None:
    go_on = asyncio.Event()
    script = Script().says("zero").waits_for(go_on)
    for number in range(1, 21):
        script = script.says(f"{number}")
    async with open_api(script) as api:
        thread, assistant = await api.thread("hi"), await api.assistant()
        runs = await asyncio.gather(*(created(api, thread, assistant) for _ in range(21)))
        go_on.set()
        for run in runs:
            assert (await over(api, run))["status"] == "completed"
        path = f"/v1/threads/{thread}/runs"
        params = {"order": "asc", "limit": 100}
        listed = [
            run["id"] for run in (await api.ok(await api.server.get(path, params=params)))["data"]
        ]
        answers = await api.messages(thread, limit=100)
        assert [message["run_id"] for message in answers[1:]] == listed
        texts = [message["content"][0]["text"]["value"] for message in answers[1:]]
        assert texts == ["zero", *(str(number) for number in range(1, 21))]
        assert not await _left(api)


async def test_runs_that_line_up_as_others_end_are_all_done(open_api: OpenApi) -> None:
    async with open_api(Script().says("ok").forever()) as api:
        thread, assistant = await api.thread("hi"), await api.assistant()
        runs = await asyncio.gather(*(created(api, thread, assistant) for _ in range(65)))
        for run in runs:
            assert (await over(api, run))["status"] == "completed"
        assert len(api.backend.chats) == 65
        assert not await _left(api)


async def _left(api: Api) -> list[Any]:
    """Jobs and locks that are still there."""
    records = api.server.plugin("runs").every_project
    return [*await records.scan("job"), *await records.scan("active_run")]


async def test_a_stream_of_a_run_that_waits_goes_on_when_its_turn_comes(open_api: OpenApi) -> None:
    go_on = asyncio.Event()
    script = Script().says("First.").waits_for(go_on).says("The second one.")
    async with open_api(script) as api:
        thread, assistant = await api.thread("hi"), await api.assistant()
        await created(api, thread, assistant)
        await api.backend.arrived()
        names, text = [], ""
        body = {"assistant_id": assistant, "stream": True}
        path = f"/v1/threads/{thread}/runs"
        async with (
            asyncio.timeout(20),
            api.server.stream(path, body, headers=asking("queue")) as events,
        ):
            async for event in events:
                if event.name == "thread.message.delta":
                    text += event.json()["delta"]["content"][0]["text"]["value"]
                    continue
                names.append(event.name)
                if event.name == "thread.run.queued":
                    go_on.set()
        assert names[:3] == ["thread.run.created", "thread.run.queued", "thread.run.in_progress"]
        assert names[-2:] == ["thread.run.completed", "done"]
        assert text == "The second one."


@pytest.mark.parametrize("end", ENDS)
async def test_the_next_one_begins_however_the_one_before_it_ends(
    open_api: OpenApi, end: str
) -> None:
    clock, go_on = FixedClock(), asyncio.Event()
    first = {
        "completed": Script().says("First.").waits_for(go_on),
        "failed": Script().says("First.").waits_for(go_on).breaks(faults.reset(), after=1),
        "cancelled": Script().says("First.").without_end().pauses(0.001),
        "expired": Script().calls(tool("book_table", {}, id="call_a")),
        "incomplete": Script().says("First.").waits_for(go_on).finishes("length"),
    }[end]
    settings = {"expiry_poll_s": 0.01, "run_s": 600}
    async with open_api(first.says("Second."), settings=settings, clock=clock) as api:
        thread, assistant = await api.thread("hi"), await api.assistant(tools=[BOOK])
        before = await created(api, thread, assistant)
        await api.backend.arrived()
        if end == "expired":
            assert (await api.ended(before))["status"] == "requires_action"
            clock.move(300)
        after = await created(api, thread, assistant)
        if end == "expired":
            clock.move(301)
        if end == "cancelled":
            await api.ok(await api.cancel(before))
        go_on.set()
        assert (await over(api, before))["status"] == end
        assert (await over(api, after))["status"] == "completed"


async def test_a_run_that_waits_lets_the_active_one_be_answered(open_api: OpenApi) -> None:
    script = Script().calls(tool("book_table", {}, id="call_a")).says("Booked.").says("Second.")
    async with open_api(script) as api:
        thread, assistant = await api.thread("hi"), await api.assistant(tools=[BOOK])
        first = await api.ended(await created(api, thread, assistant))
        second = await created(api, thread, assistant)
        assert (await api.submit(second, call_a="x")).status_code == 400
        await api.ok(await api.submit(first, call_a="done"))
        assert (await over(api, first))["status"] == "completed"
        assert (await over(api, second))["status"] == "completed"
        called = [("assistant", None), ("tool", "done")]
        assert shown(api, 3) == [("user", "hi"), *called, ("assistant", "Booked.")]


async def test_a_run_that_waits_is_cancelled_and_the_others_keep_their_order(
    open_api: OpenApi,
) -> None:
    go_on = asyncio.Event()
    script = Script().says("First.").waits_for(go_on).says("Third.")
    async with open_api(script) as api:
        thread, assistant = await api.thread("hi"), await api.assistant()
        first, second, third = [await created(api, thread, assistant) for _ in range(3)]
        cancelled = await api.ok(await api.cancel(second))
        assert cancelled["status"] == "cancelled"
        assert (await api.cancel(second)).status_code == 400
        assert await api.steps(second) == []
        go_on.set()
        assert (await over(api, first))["status"] == "completed"
        assert (await over(api, third))["status"] == "completed"
        assert len(api.backend.chats) == 2


async def test_the_metadata_of_a_run_that_waits_can_be_changed(open_api: OpenApi) -> None:
    go_on = asyncio.Event()
    async with open_api(Script().says("First.").waits_for(go_on).says("Second.")) as api:
        thread, assistant = await api.thread("hi"), await api.assistant()
        await created(api, thread, assistant)
        second = await created(api, thread, assistant, metadata={"a": "b"})
        path = f"/v1/threads/{thread}/runs/{second['id']}"
        changed = await api.ok(await api.server.post(path, {"metadata": {"c": "d"}}))
        assert (changed["metadata"], changed["status"]) == ({"c": "d"}, "queued")
        go_on.set()
        ended = await over(api, second)
        assert (ended["metadata"], ended["status"]) == ({"c": "d"}, "completed")


async def test_a_run_whose_turn_does_not_come_in_time_expires_and_says_why(
    open_api: OpenApi,
) -> None:
    clock, never = FixedClock(), asyncio.Event()
    script = Script().says("First.").waits_for(never)
    async with open_api(script, settings={"expiry_poll_s": 0.01}, clock=clock) as api:
        thread, assistant = await api.thread("hi"), await api.assistant()
        first = await created(api, thread, assistant)
        await api.backend.arrived()
        second = await created(api, thread, assistant)
        assert second["expires_at"] == second["created_at"] + 600
        clock.move(601)
        expired = await over(api, second)
        assert (expired["status"], expired["started_at"]) == ("expired", None)
        assert first["id"] in expired["last_error"]["message"]
        assert expired["last_error"]["code"] == "rate_limit_exceeded"
        await api.ok(await api.cancel(first))
        assert not await _left(api)


async def test_only_so_many_runs_may_wait_for_a_thread(open_api: OpenApi) -> None:
    go_on = asyncio.Event()
    script = Script().says("First.").waits_for(go_on).says("Second.").says("Third.")
    async with open_api(script, settings={"runs_per_thread_waiting_max": 1}) as api:
        thread, assistant = await api.thread("hi"), await api.assistant()
        await created(api, thread, assistant)
        second = await created(api, thread, assistant)
        refused = await create(api, thread, assistant)
        assert refused.status_code == 429
        assert refused.json()["error"]["code"] == "thread_queue_full"
        assert "1 runs waiting" in refused.json()["error"]["message"]
        elsewhere = await created(api, await api.thread("hi"), assistant)
        go_on.set()
        for run in (second, elsewhere):
            assert (await over(api, run))["status"] == "completed"


async def test_a_deleted_thread_takes_the_runs_that_wait_along_and_ends_their_streams(
    open_api: OpenApi,
) -> None:
    never = asyncio.Event()
    script = Script().says("First.").waits_for(never)
    async with open_api(script, settings={"finish_s": 0.0}) as api:
        thread, assistant = await api.thread("hi"), await api.assistant()
        await created(api, thread, assistant)
        await api.backend.arrived()
        second = await created(api, thread, assistant)
        body = {"assistant_id": assistant, "stream": True}
        path = f"/v1/threads/{thread}/runs"
        names = []
        async with (
            asyncio.timeout(20),
            api.server.stream(path, body, headers=asking("queue")) as events,
        ):
            async for event in events:
                names.append(event.name)
                if event.name == "thread.run.queued":
                    await api.ok(await api.server.delete(f"/v1/threads/{thread}"))
        assert names == ["thread.run.created", "thread.run.queued", "error"]
        assert (await api.server.get(f"{path}/{second['id']}")).status_code == 404
        left = {record.id for record in await _left(api)}
        assert f"run:{second['id']}" not in left
        assert thread not in left


async def test_runs_wait_on_when_the_server_is_started_anew(open_api: OpenApi) -> None:
    never = asyncio.Event()
    script = Script().says("First.").waits_for(never)
    async with open_api(script, settings={"finish_s": 0.0}) as api:
        thread, assistant = await api.thread("hi"), await api.assistant()
        runs = [await created(api, thread, assistant) for _ in range(3)]
        await api.ok(await say(api, thread, "and"))
        runs.append(await created(api, thread, assistant))
    async with open_api(Script().says("1").says("2").says("3").says("4")) as api:
        for run in runs:
            assert (await over(api, run))["status"] == "completed"
        assert shown(api, 4) == [
            ("user", "hi"),
            ("assistant", "1"),
            ("assistant", "2"),
            ("assistant", "3"),
            ("user", "and"),
        ]


async def test_the_official_client_polls_a_run_that_waits(tmp_path: Path) -> None:
    go_on = asyncio.Event()
    backend = ScriptedBackend(Script().says("First.").waits_for(go_on).says("Second."))
    settings = {"keys": {"api_key": KEY}, "runs": {"poll_after_ms": 10}}
    kernel = make_kernel(*PLUGINS, "keys", data_dir=tmp_path, backend=backend, settings=settings)
    async with (
        live_server(kernel) as url,
        AsyncOpenAI(
            base_url=f"{url}/v1",
            api_key=KEY,
            max_retries=0,
            default_headers=asking("queue"),
        ) as client,
    ):
        assistant = await client.beta.assistants.create(model="scripted")
        thread = await client.beta.threads.create(messages=[{"role": "user", "content": "hi"}])
        first = await client.beta.threads.runs.create(thread.id, assistant_id=assistant.id)
        await backend.arrived()
        polling = asyncio.create_task(
            client.beta.threads.runs.create_and_poll(thread_id=thread.id, assistant_id=assistant.id)
        )
        while len((await client.beta.threads.runs.list(thread.id)).data) < 2:
            await asyncio.sleep(0.005)
        await client.beta.threads.messages.create(thread.id, role="user", content="and")
        go_on.set()
        second = await polling
        assert second.status == "completed"
        messages = (await client.beta.threads.messages.list(thread.id, run_id=second.id)).data
        assert messages[0].content[0].text.value == "Second."  # type: ignore[union-attr]
        ended = await client.beta.threads.runs.retrieve(first.id, thread_id=thread.id)
        assert ended.status == "completed"


# --- queue: messages --------------------------------------------------------------------------


async def test_a_message_waits_for_the_turn_after_the_runs_that_are_there(
    open_api: OpenApi,
) -> None:
    script = (
        Script()
        .says("Let me see.")
        .and_calls(tool("book_table", {}, id="call_a"))
        .says("Booked.")
        .says("Second.")
        .says("Third.")
    )
    async with open_api(script) as api:
        thread, assistant = await api.thread("hi"), await api.assistant(tools=[BOOK])
        first = await api.ended(await created(api, thread, assistant))
        posted = await api.ok(await say(api, thread, "after the first"))
        path = f"/v1/threads/{thread}/messages/{posted['id']}"
        assert await api.ok(await api.server.get(path)) == posted
        assert (await api.messages(thread))[-1] == posted
        second = await created(api, thread, assistant)
        await api.ok(await say(api, thread, "after the second"))
        more = [{"role": "user", "content": "with the third"}]
        third = await created(api, thread, assistant, additional_messages=more)
        await api.ok(await say(api, thread, "after all"))
        await api.ok(await api.submit(first, call_a="done"))
        for run in (first, second, third):
            assert (await over(api, run))["status"] == "completed"
        own = [("assistant", "Let me see."), ("tool", "done")]
        assert shown(api, 2) == [("user", "hi"), *own]
        history = [
            ("user", "hi"),
            *own,
            ("assistant", "Booked."),
            ("user", "after the first"),
        ]
        assert shown(api, 3) == history
        history += [
            ("assistant", "Second."),
            ("user", "after the second"),
            ("user", "with the third"),
        ]
        assert shown(api, 4) == history
        texts = [message["content"][0]["text"]["value"] for message in await api.messages(thread)]
        assert texts == [
            "hi",
            "Let me see.",
            "after the first",
            "after the second",
            "with the third",
            "after all",
            "Booked.",
            "Second.",
            "Third.",
        ]


async def test_what_was_posted_behind_a_run_stays_in_its_place_for_later_runs(
    open_api: OpenApi,
) -> None:
    go_on = asyncio.Event()
    script = Script().says("First.").waits_for(go_on).says("Second.").says("Third.")
    async with open_api(script) as api:
        thread, assistant = await api.thread("hi"), await api.assistant()
        first = await created(api, thread, assistant)
        await api.backend.arrived()
        await api.ok(await say(api, thread, "and"))
        go_on.set()
        await over(api, first)
        assert (await api.ran(thread, assistant))["status"] == "completed"
        await api.ok(await say(api, thread, "so"))
        assert (await api.ran(thread, assistant))["status"] == "completed"
        assert shown(api, 3) == [
            ("user", "hi"),
            ("assistant", "First."),
            ("user", "and"),
            ("assistant", "Second."),
            ("user", "so"),
        ]


async def test_messages_of_a_run_that_is_cancelled_while_it_waits_stay(open_api: OpenApi) -> None:
    go_on = asyncio.Event()
    script = Script().says("First.").waits_for(go_on).says("Third.")
    async with open_api(script) as api:
        thread, assistant = await api.thread("hi"), await api.assistant()
        await created(api, thread, assistant)
        await api.backend.arrived()
        more = [{"role": "user", "content": "with it"}]
        second = await created(api, thread, assistant, additional_messages=more)
        third = await created(api, thread, assistant)
        await api.ok(await api.cancel(second))
        go_on.set()
        assert (await over(api, third))["status"] == "completed"
        assert shown(api, 2) == [("user", "hi"), ("assistant", "First."), ("user", "with it")]


async def test_a_message_for_a_free_thread_is_posted_as_ever(open_api: OpenApi) -> None:
    async with open_api(Script().says("First.").says("Second.")) as api:
        thread, assistant = await api.thread("hi"), await api.assistant()
        for on_busy in ("queue", "cancel"):
            await api.ok(await say(api, thread, f"{on_busy}?", on_busy))
            run = await created(api, thread, assistant, on_busy)
            assert (await over(api, run))["status"] == "completed"
        assert shown(api, 2) == [
            ("user", "hi"),
            ("user", "queue?"),
            ("assistant", "First."),
            ("user", "cancel?"),
        ]


async def test_there_is_nothing_to_wait_for_at_a_thread_that_is_not_there(
    open_api: OpenApi,
) -> None:
    async with open_api() as api:
        assistant = await api.assistant()
        for on_busy in ("queue", "cancel"):
            assert (await create(api, "thread_no", assistant, on_busy)).status_code == 404
            assert (await say(api, "thread_no", "hi", on_busy)).status_code == 404


# --- cancel -----------------------------------------------------------------------------------


async def test_a_run_has_the_earlier_one_cancelled(open_api: OpenApi) -> None:
    script = Script().says("I would go on").without_end().pauses(0.001).says("Fresh.")
    async with open_api(script) as api:
        thread, assistant = await api.thread("hi"), await api.assistant()
        first = await created(api, thread, assistant)
        request = await api.backend.arrived()
        while not await api.messages(thread, run_id=first["id"]):
            await asyncio.sleep(0.002)
        second = await created(api, thread, assistant, "cancel")
        assert request.closed_early
        assert (await now(api, first))["status"] == "cancelled"
        (message,) = await api.messages(thread, run_id=first["id"])
        assert message["status"] == "incomplete"
        assert message["incomplete_details"] == {"reason": "run_cancelled"}
        assert (await over(api, second))["status"] == "completed"


async def test_the_runs_that_wait_are_cancelled_too_and_none_of_them_begins(
    open_api: OpenApi,
) -> None:
    script = Script().calls(tool("book_table", {}, id="call_a")).says("Fresh.")
    async with open_api(script) as api:
        thread, assistant = await api.thread("hi"), await api.assistant(tools=[BOOK])
        first = await api.ended(await created(api, thread, assistant))
        waiting = [await created(api, thread, assistant) for _ in range(3)]
        last = await created(api, thread, assistant, "cancel")
        for run in (first, *waiting):
            assert (await now(api, run))["status"] == "cancelled"
        assert (await over(api, last))["status"] == "completed"
        assert len(api.backend.chats) == 2
        assert not await _left(api)


async def test_a_message_has_the_earlier_runs_cancelled(open_api: OpenApi) -> None:
    script = Script().says("I would go on").without_end().pauses(0.001).says("Fresh.")
    async with open_api(script) as api:
        thread, assistant = await api.thread("hi"), await api.assistant()
        first = await created(api, thread, assistant)
        request = await api.backend.arrived()
        second = await created(api, thread, assistant)
        await api.ok(await say(api, thread, "stop that", "cancel"))
        assert request.closed_early
        for run in (first, second):
            assert (await now(api, run))["status"] == "cancelled"
        assert (await over(api, await created(api, thread, assistant, None)))["status"] == (
            "completed"
        )
        assert shown(api, 2)[-1] == ("user", "stop that")


async def test_it_wins_or_loses_cleanly_against_the_end_of_the_earlier_run(
    open_api: OpenApi,
) -> None:
    seen = set()
    async with open_api(Script().says("a b c").forever()) as api:
        assistant = await api.assistant()
        for pause in range(30):
            thread = await api.thread("hi")
            first = await created(api, thread, assistant)
            await asyncio.sleep(pause / 3000)
            second = await created(api, thread, assistant, "cancel")
            ended = await now(api, first)
            seen.add(ended["status"])
            wanted = "completed" if ended["status"] == "completed" else "incomplete"
            for message in await api.messages(thread, run_id=first["id"]):
                assert message["status"] == wanted
            assert (await over(api, second))["status"] == "completed"
    # Which of the two wins how often is chance; that a cancel can win is tested above.
    assert seen <= {"completed", "cancelled"}


async def test_of_many_who_want_a_thread_for_themselves_the_last_one_has_it(
    open_api: OpenApi,
) -> None:
    async with open_api(Script().says("a b c").pauses(0.001).forever()) as api:
        thread, assistant = await api.thread("hi"), await api.assistant()
        runs = await asyncio.gather(*(created(api, thread, assistant, "cancel") for _ in range(10)))
        ended = [(await over(api, run))["status"] for run in runs]
        assert "completed" in ended
        assert set(ended) <= {"completed", "cancelled"}
        assert not await _left(api)


async def test_a_run_that_cannot_be_cancelled_in_time_keeps_its_thread(open_api: OpenApi) -> None:
    store, never = SharedStore(), asyncio.Event()
    backend = ScriptedBackend(Script().says("First.").waits_for(never).says("Fresh."))
    plugins = ("events", "jobs", "assistants", "threads", "models", "runs")
    # The two do not hear of each other, as where one of them is frozen.
    async with (
        kernel_with(store.plugin(), *plugins, backend=backend) as frozen,
        kernel_with(
            store.plugin(), *plugins, backend=backend, settings={"runs": {"cancel_s": 0.1}}
        ) as other,
    ):
        api, beside = Api(frozen, backend), Api(other, backend)
        thread, assistant = await api.thread("hi"), await api.assistant()
        first = await created(api, thread, assistant)
        await backend.arrived()
        for refused in (
            await create(beside, thread, assistant, "cancel"),
            await say(beside, thread, "stop that", "cancel"),
        ):
            assert refused.status_code == 503
            error = refused.json()["error"]
            assert error["code"] == "run_not_cancelled"
            assert first["id"] in error["message"]
        assert [
            run["id"]
            for run in (await api.ok(await api.server.get(f"/v1/threads/{thread}/runs")))["data"]
        ] == [first["id"]]
        await api.ok(await api.cancel(first))
        second = await created(beside, thread, assistant, "cancel")
        assert (await over(beside, second))["status"] == "completed"


async def test_a_repeated_request_that_had_a_run_cancelled_is_answered_as_the_first(
    tmp_path: Path,
) -> None:
    script = Script().calls(tool("book_table", {}, id="call_a")).says("Fresh.")
    backend = ScriptedBackend(script)
    async with kernel_with(
        *PLUGINS, "idempotency", ToolPlugin, backend=backend, data_dir=tmp_path
    ) as server:
        api = Api(server, backend)
        thread, assistant = await api.thread("hi"), await api.assistant(tools=[BOOK])
        first = await api.ended(await created(api, thread, assistant))
        headers = {**asking("cancel"), "Idempotency-Key": "once"}
        path, body = f"/v1/threads/{thread}/runs", {"assistant_id": assistant}
        second = await api.ok(await server.post(path, body, headers=headers))
        (kept,) = await server.plugin("idempotency").every_project.scan("idempotency")
        assert second["id"] in kept.body.decode()
        assert (await api.ok(await server.post(path, body, headers=headers))) == second
        assert (await now(api, first))["status"] == "cancelled"
        assert (await over(api, second))["status"] == "completed"
