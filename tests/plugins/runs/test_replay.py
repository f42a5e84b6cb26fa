"""A stream can be picked up at any place, live or after the end, and adds up to the same."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.plugins.runs.added_up import added_up

from famulus.testing import Script, tool


async def stream(api: Any, thread: str, assistant: str) -> list[Any]:
    body = {"assistant_id": assistant, "stream": True}
    async with api.server.stream(f"/v1/threads/{thread}/runs", body) as events:
        found: list[Any] = await events.all()
    return found


async def again(api: Any, run: Any, after: str | None) -> list[Any]:
    path = f"/v1/threads/{run['thread_id']}/runs/{run['id']}/events"
    headers = {"last-event-id": after} if after else {}
    async with api.server.client.stream("GET", path, headers=headers) as response:
        assert response.status_code == 200
        from famulus.testing.kit import EventReader

        return await EventReader(response).all()


@pytest.mark.parametrize("with_tools", [False, True])
async def test_from_every_place_the_rest_adds_up_to_the_whole(
    with_tools: bool, open_api: Any
) -> None:
    script = Script()
    if with_tools:
        script = script.calls(tool("get_weather", {"city": "Oslo"})).cut_by(4)
    script = script.says("One two three four five.")
    async with open_api(script) as api:
        weather = {"type": "function", "function": {"name": "get_weather"}}
        assistant = await api.assistant(tools=[weather] if with_tools else [])
        heard = await stream(api, await api.thread("count"), assistant)
        run = heard[0].json()
        whole = added_up(heard)
        for place in range(len(heard)):
            after = heard[place - 1].id if place else None
            rest = await again(api, run, after)
            assert added_up([*heard[:place], *rest]) == whole, heard[place].name
            assert rest[-1].name == "done"


async def test_a_message_without_a_word_is_replayed_without_a_delta(open_api: Any) -> None:
    async with open_api(Script().says("")) as api:
        heard = await stream(api, await api.thread("hi"), await api.assistant())
        replayed = await again(api, heard[0].json(), None)
        assert [(event.name, event.id) for event in replayed] == [
            (event.name, event.id) for event in heard
        ]


async def test_a_live_stream_is_picked_up_where_it_was_left(open_api: Any) -> None:
    first, second = asyncio.Event(), asyncio.Event()
    script = Script().says("One two three four").waits_for(first, after=2)
    script = script.waits_for(second, after=3)
    async with open_api(script) as api:
        thread = await api.thread("count")
        body = {"assistant_id": await api.assistant(), "stream": True}
        left: list[Any] = []
        async with api.server.stream(f"/v1/threads/{thread}/runs", body) as events:
            async for event in events:
                left.append(event)
                if [e.name for e in left].count("thread.message.delta") == 1:
                    break
        run = left[0].json()
        first.set()
        reading = asyncio.create_task(again(api, run, left[-1].id))
        await asyncio.sleep(0.05)
        second.set()
        rest = await reading
        items, told = added_up([*left, *rest])
        assert list(items.values()) == ["One two three four"]
        assert told[-2:] == ["thread.run.completed", "done"]


async def test_any_number_of_listeners_hear_the_same(open_api: Any) -> None:
    go_on = asyncio.Event()
    async with open_api(Script().says("One two three").waits_for(go_on, after=1)) as api:
        thread = await api.thread("count")
        run = await api.run(thread, await api.assistant())
        await api.backend.arrived()
        readers = [asyncio.create_task(again(api, run, None)) for _ in range(5)]
        await asyncio.sleep(0.05)
        go_on.set()
        heard = [added_up(await reader) for reader in readers]
        assert all(one == heard[0] for one in heard)
        assert list(heard[0][0].values()) == ["One two three"]


async def test_an_id_of_another_run_is_refused_by_name(open_api: Any) -> None:
    async with open_api(Script().says("ok")) as api:
        run = await api.ran(await api.thread("hi"), await api.assistant())
        path = f"/v1/threads/{run['thread_id']}/runs/{run['id']}/events"
        refused = await api.server.get(path, headers={"last-event-id": "run_x:1.2.3"})
        assert refused.status_code == 400
        assert refused.json()["error"]["param"] == "after"


async def test_a_create_that_names_its_last_event_goes_on_with_that_run(open_api: Any) -> None:
    async with open_api(Script().says("One two three.")) as api:
        assistant = await api.assistant()
        thread = await api.thread("count")
        heard = await stream(api, thread, assistant)
        body = {"assistant_id": assistant, "stream": True}
        headers = {"last-event-id": heard[7].id}
        path = f"/v1/threads/{thread}/runs"
        async with api.server.stream(path, body, headers=headers) as events:
            rest = await events.all()
        assert added_up([*heard[:8], *rest]) == added_up(heard)
        assert len(api.backend.chats) == 1
