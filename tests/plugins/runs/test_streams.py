"""Streams of runs over HTTP: what listeners get, and that no listener hurts a run."""

from __future__ import annotations

import asyncio
from typing import Any

from tests.plugins.runs.added_up import added_up

from famulus.testing import Script, ScriptedBackend, faults, kernel_with, tool


async def stream_of(api: Any, thread: str, **fields: Any) -> list[Any]:
    """Every event of a new run's stream."""
    body = {"assistant_id": await api.assistant(), "stream": True, **fields}
    async with api.server.stream(f"/v1/threads/{thread}/runs", body) as events:
        assert events.status_code == 200
        assert events.headers["content-type"].startswith("text/event-stream")
        found: list[Any] = await events.all()
        return found


async def test_a_stream_tells_the_whole_run_in_order(open_api: Any) -> None:
    async with open_api(Script().says("Hi Ada")) as api:
        events = await stream_of(api, await api.thread("hello"))
        assert [event.name for event in events] == [
            "thread.run.created",
            "thread.run.queued",
            "thread.run.in_progress",
            "thread.run.step.created",
            "thread.run.step.in_progress",
            "thread.message.created",
            "thread.message.in_progress",
            "thread.message.delta",
            "thread.message.delta",
            "thread.message.completed",
            "thread.run.step.completed",
            "thread.run.completed",
            "done",
        ]
        assert events[-1].data == "[DONE]"


async def test_deltas_add_up_to_the_message(open_api: Any) -> None:
    text = "One two three, and a four that is longer."
    async with open_api(Script().says(text).cut_by(3)) as api:
        events = await stream_of(api, await api.thread("count"))
        deltas = [e.json()["delta"]["content"][0]["text"] for e in events if "delta" in e.name]
        assert "".join(delta["value"] for delta in deltas) == text
        assert deltas[0]["annotations"] == []
        assert all("annotations" not in delta for delta in deltas[1:])


async def test_what_arrives_together_is_one_delta(open_api: Any) -> None:
    async with open_api(Script().says("a b c d e f").together(6)) as api:
        events = await stream_of(api, await api.thread("letters"))
        assert [e.name for e in events].count("thread.message.delta") == 1


async def test_a_stream_of_a_new_thread_begins_with_the_thread(open_api: Any) -> None:
    async with open_api(Script().says("Hi")) as api:
        body = {"assistant_id": await api.assistant(), "thread": {}, "stream": True}
        async with api.server.stream("/v1/threads/runs", body) as events:
            names = [event.name for event in await events.all()]
        assert names[:2] == ["thread.created", "thread.run.created"]


async def test_every_event_of_a_run_has_a_position(open_api: Any) -> None:
    async with open_api(Script().says("Hi there")) as api:
        events = await stream_of(api, await api.thread("hello"))
        heard = [
            e for e in events if e.name not in ("thread.run.created", "thread.run.queued", "done")
        ]
        assert all(event.id for event in heard)
        assert len({event.id for event in heard}) == len(heard)


async def test_a_failure_is_told_in_the_stream(open_api: Any) -> None:
    async with open_api(Script().fails(faults.status(429)).forever()) as api:
        events = await stream_of(api, await api.thread("hello"))
        assert [e.name for e in events][-2:] == ["thread.run.failed", "done"]
        assert events[-2].json()["last_error"]["code"] == "rate_limit_exceeded"


async def test_a_run_survives_its_listener(open_api: Any) -> None:
    go_on = asyncio.Event()
    async with open_api(Script().says("first second").waits_for(go_on, after=1)) as api:
        thread = await api.thread("hello")
        body = {"assistant_id": await api.assistant(), "stream": True}
        async with api.server.stream(f"/v1/threads/{thread}/runs", body) as events:
            async for event in events:
                if event.name == "thread.message.delta":
                    break
                run = event.json()
        go_on.set()
        listed = await api.ok(await api.server.get(f"/v1/threads/{thread}/runs"))
        ended = await api.ended(listed["data"][0])
        assert ended["status"] == "completed"
        assert run["thread_id"] == thread
        assert (await api.messages(thread))[-1]["content"][0]["text"]["value"] == "first second"


async def test_a_listener_that_leaves_is_forgotten(open_api: Any) -> None:
    go_on = asyncio.Event()
    async with open_api(Script().says("a b").waits_for(go_on, after=1)) as api:
        thread = await api.thread("hello")
        body = {"assistant_id": await api.assistant(), "stream": True}
        async with api.server.stream(f"/v1/threads/{thread}/runs", body) as events:
            async for event in events:
                if event.name == "thread.message.delta":
                    break
        assert api.server.kernel.world.guests == 0
        go_on.set()


async def test_what_is_told_is_on_disk_before(open_api: Any) -> None:
    """Every event but a delta: whoever asks right after it sees at least that."""
    async with open_api(Script().says("Hi Ada")) as api:
        thread = await api.thread("hello")
        body = {"assistant_id": await api.assistant(), "stream": True}
        async with api.server.stream(f"/v1/threads/{thread}/runs", body) as events:
            async for event in events:
                if event.name == "thread.run.completed":
                    break
                if event.name == "thread.message.completed":
                    id = event.json()["id"]
                    stored = await api.server.get(f"/v1/threads/{thread}/messages/{id}")
                    assert stored.json() == event.json()


async def test_calls_that_a_model_interleaves_are_told_one_after_the_other(open_api: Any) -> None:
    calls = [tool("book_table", {"at": number}, id=f"call_{number}") for number in range(3)]
    book = {"type": "function", "function": {"name": "book_table"}}
    async with open_api(Script().calls(*calls).cut_by(3).interleaved()) as api:
        assistant = await api.assistant(tools=[book])
        body = {"assistant_id": assistant, "stream": True}
        thread = await api.thread("book")
        async with api.server.stream(f"/v1/threads/{thread}/runs", body) as events:
            deltas = [e.json()["delta"] for e in await events.all() if e.name.endswith("delta")]
        told = [call for delta in deltas for call in delta["step_details"]["tool_calls"]]
        indexes = [call["index"] for call in told]
        assert indexes == sorted(indexes)
        arguments = ["", "", ""]
        for call in told:
            arguments[call["index"]] += call["function"]["arguments"]
        assert arguments == ['{"at":0}', '{"at":1}', '{"at":2}']


async def test_a_listener_too_slow_for_its_queue_still_hears_everything(
    make_api: Any,
) -> None:
    text = "".join(f"{number} " for number in range(300))
    backend = ScriptedBackend(Script().says(text))
    plugins = ("sqlite", "events", "jobs", "assistants", "threads", "models", "runs")
    settings = {"events": {"waiting_events_max": 2}}
    async with kernel_with(*plugins, backend=backend, settings=settings) as server:
        api = make_api(server, backend)
        body = {"assistant_id": await api.assistant(), "stream": True}
        thread = await api.thread("count")
        heard = []
        async with api.server.stream(f"/v1/threads/{thread}/runs", body) as events:
            async for event in events:
                heard.append(event)
                await asyncio.sleep(0.001)
        items, told = added_up(heard)
        assert list(items.values()) == [text]
        assert told[-2:] == ["thread.run.completed", "done"]
        assert len(told) == len(set(told))
