"""A request that is sent again under its key has its effect once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from famulus import Call, Operation, Plugin, hookimpl
from famulus.operations import Proceed
from famulus.plugin import NoSettings
from famulus.testing import (
    FixedClock,
    Script,
    ScriptedBackend,
    TestServer,
    kernel_with,
    tool,
)
from famulus.testing.kit import EventReader

PLUGINS = (
    "sqlite", "events", "jobs", "assistants", "threads", "models", "runs", "chat", "idempotency"
)  # fmt: skip
KEY = {"idempotency-key": "key-1"}


@asynccontextmanager
async def server_of(
    *more: Any, script: Script | None = None, last: Any = None, **arguments: Any
) -> AsyncIterator[tuple[TestServer, ScriptedBackend]]:
    backend = ScriptedBackend(script or Script().says("ok").forever())
    plugins = [*more, *PLUGINS, *([last] if last else [])]
    async with kernel_with(*plugins, backend=backend, **arguments) as server:
        yield server, backend


async def listed(server: TestServer, path: str) -> list[Any]:
    data: list[Any] = (await server.get(path)).json()["data"]
    return data


async def test_a_create_that_is_sent_again_makes_nothing_more() -> None:
    async with server_of() as (server, _):
        body = {"model": "scripted", "name": "Ada"}
        first = await server.post("/v1/assistants", body, headers=KEY)
        again = await server.post("/v1/assistants", body, headers=KEY)
        assert first.status_code == again.status_code == 200
        assert again.content == first.content
        assert "idempotent-replayed" not in first.headers
        assert again.headers["idempotent-replayed"] == "true"
        assert len(await listed(server, "/v1/assistants")) == 1


async def test_a_modification_that_is_sent_again_changes_nothing_back() -> None:
    async with server_of() as (server, _):
        thread = (await server.post("/v1/threads", {})).json()["id"]
        path = f"/v1/threads/{thread}"
        await server.post(path, {"metadata": {"n": "1"}}, headers=KEY)
        await server.post(path, {"metadata": {"n": "2"}})
        again = await server.post(path, {"metadata": {"n": "1"}}, headers=KEY)
        assert again.json()["metadata"] == {"n": "1"}
        assert (await server.get(path)).json()["metadata"] == {"n": "2"}


async def test_of_many_sent_at_once_one_has_the_effect_and_all_get_its_answer() -> None:
    async with server_of() as (server, _):
        asking = [server.post("/v1/threads", {"metadata": {}}, headers=KEY) for _ in range(20)]
        answers = await asyncio.gather(*asking)
        assert {answer.status_code for answer in answers} == {200}
        assert len({answer.content for answer in answers}) == 1


async def test_the_same_key_for_another_request_is_refused() -> None:
    async with server_of() as (server, _):
        await server.post("/v1/threads", {"metadata": {"a": "1"}}, headers=KEY)
        other = await server.post("/v1/threads", {"metadata": {"a": "2"}}, headers=KEY)
        assert other.status_code == 400
        assert other.json()["error"]["code"] == "idempotency_key_reused"
        assert other.json()["error"]["param"] == "idempotency-key"


async def test_keys_belong_to_a_project_and_an_operation() -> None:
    async with server_of() as (server, _):
        mine = await server.post("/v1/threads", {}, headers=KEY)
        theirs = await server.post("/v1/threads", {}, headers={**KEY, "x-test-project": "other"})
        assistant = await server.post("/v1/assistants", {"model": "scripted"}, headers=KEY)
        assert theirs.json()["id"] != mine.json()["id"]
        assert assistant.json()["object"] == "assistant"


async def test_a_refused_request_takes_no_key() -> None:
    async with server_of() as (server, _):
        refused = await server.post("/v1/assistants", {}, headers=KEY)
        assert refused.status_code == 400
        mended = await server.post("/v1/assistants", {"model": "scripted"}, headers=KEY)
        assert mended.status_code == 200


async def test_a_run_that_is_created_again_runs_once() -> None:
    async with server_of() as (server, backend):
        assistant = (await server.post("/v1/assistants", {"model": "scripted"})).json()["id"]
        body = {"assistant_id": assistant, "thread": {}}
        first = (await server.post("/v1/threads/runs", body, headers=KEY)).json()
        again = (await server.post("/v1/threads/runs", body, headers=KEY)).json()
        assert again == first
        await backend.arrived()
        assert len(await listed(server, f"/v1/threads/{first['thread_id']}/runs")) == 1


async def test_a_streamed_run_that_is_created_again_is_heard_from_its_first_event() -> None:
    async with server_of() as (server, backend):
        assistant = (await server.post("/v1/assistants", {"model": "scripted"})).json()["id"]
        body = {"assistant_id": assistant, "thread": {}, "stream": True}
        async with server.stream("/v1/threads/runs", body, headers=KEY) as events:
            heard = await events.all()
        async with server.client.stream(
            "POST", "/v1/threads/runs", json=body, headers=KEY, follow_redirects=True
        ) as response:
            again = await EventReader(response).all()
        assert [event.data for event in again] == [event.data for event in heard]
        assert len(backend.chats) == 1


async def test_outputs_that_are_sent_again_are_answered_by_the_stream_of_the_first_time() -> None:
    asks = Script().calls(tool("book", {"for": 2})).says("Booked it all.").uses(1, 1)
    async with server_of("functions", script=asks) as (server, backend):
        function = {"type": "function", "function": {"name": "book"}}
        body = {"model": "scripted", "tools": [function]}
        assistant = (await server.post("/v1/assistants", body)).json()["id"]
        body = {"assistant_id": assistant, "thread": {}, "stream": True}
        async with server.stream("/v1/threads/runs", body) as events:
            asked = (await events.all())[-2].json()
        (call,) = asked["required_action"]["submit_tool_outputs"]["tool_calls"]
        outputs = [{"tool_call_id": call["id"], "output": "done"}]
        path = f"/v1/threads/{asked['thread_id']}/runs/{asked['id']}/submit_tool_outputs"
        body = {"tool_outputs": outputs, "stream": True}
        async with server.stream(path, body, headers=KEY) as events:
            heard = await events.all()
        async with server.client.stream(
            "POST", path, json=body, headers=KEY, follow_redirects=True
        ) as response:
            again = await EventReader(response).all()
        names = [event.name for event in again]
        assert names[:3] == [
            "thread.run.step.completed",
            "thread.run.queued",
            "thread.run.in_progress",
        ]
        lasting = [event for event in heard if event.name != "thread.message.delta"]
        told = [event for event in again if event.name != "thread.message.delta"]
        assert [(one.name, one.data, one.id) for one in told] == [
            (one.name, one.data, one.id) for one in lasting
        ]
        assert len(backend.chats) == 2


async def test_an_answer_without_an_effect_is_kept_too() -> None:
    async with server_of() as (server, backend):
        body = {"model": "scripted", "messages": [{"role": "user", "content": "hi"}]}
        first = await server.post("/v1/chat/completions", body, headers=KEY)
        again = await server.post("/v1/chat/completions", body, headers=KEY)
        assert again.json() == first.json()
        assert len(backend.chats) == 1


class DiesBeforeItAnswers(Plugin[NoSettings]):
    """Loses the answer of a request between its effect and its keeping, as a killed process would.

    That it is last among the plugins puts it around the operation, within what keeps answers.
    """

    name = "zz_dies"

    @hookimpl
    async def around_call(self, call: Call, operation: Operation, proceed: Proceed) -> Any:
        answer = await proceed()
        if "x-die" in call.headers:
            raise asyncio.CancelledError
        return answer


@pytest.mark.parametrize("limit", [1_048_576, 10])
async def test_an_effect_whose_answer_was_lost_is_answered_by_what_it_made(
    tmp_path: Path, limit: int
) -> None:
    body = {"metadata": {"kept": "yes"}}
    settings = {"idempotency": {"answer_bytes_max": limit}}
    dies = {"last": DiesBeforeItAnswers, "data_dir": tmp_path, "settings": settings}
    async with server_of(**dies) as (server, _):
        asking = asyncio.ensure_future(
            server.post("/v1/threads", body, headers={**KEY, "x-die": "1"})
        )
        with pytest.raises(asyncio.CancelledError):
            await asking
        system = server.plugin("idempotency").every_project
        (kept,) = await system.scan("idempotency")
        assert bool(kept.extra) is (limit > 10)
    async with server_of(**dies) as (server, _):
        again = await server.post("/v1/threads", body, headers=KEY)
        assert again.status_code == 200
        assert again.json()["metadata"] == {"kept": "yes"}
        path = f"/v1/threads/{again.json()['id']}"
        assert (await server.get(path)).json() == again.json()
        # Nothing was written since: the answer was there with its effect.
        system = server.plugin("idempotency").every_project
        assert list(await system.scan("idempotency")) == [kept]


async def test_an_answer_that_cannot_be_made_again_is_said_to_be_lost(tmp_path: Path) -> None:
    settings = {"idempotency": {"answer_bytes_max": 10}}
    async with server_of(settings=settings) as (server, _):
        made = (await server.post("/v1/threads", {}, headers=KEY)).json()["id"]
        assert (await server.post("/v1/threads", {}, headers=KEY)).json()["id"] == made
        await server.delete(f"/v1/threads/{made}")
        again = await server.post("/v1/threads", {}, headers=KEY)
        assert again.status_code == 410
        assert again.json()["error"]["code"] == "idempotency_answer_lost"


async def test_a_refused_submit_to_a_run_that_expired_takes_no_key() -> None:
    clock = FixedClock()
    asks = Script().calls(tool("book", {})).forever()
    settings = {"runs": {"expiry_poll_s": 3600.0}}
    async with server_of("functions", script=asks, clock=clock, settings=settings) as (server, _):
        function = {"type": "function", "function": {"name": "book"}}
        body = {"model": "scripted", "tools": [function]}
        assistant = (await server.post("/v1/assistants", body)).json()["id"]
        body = {"assistant_id": assistant, "thread": {}}
        run = (await server.post("/v1/threads/runs", body)).json()
        path = f"/v1/threads/{run['thread_id']}/runs/{run['id']}"
        while run["status"] != "requires_action":
            run = (await server.get(path)).json()
        (call,) = run["required_action"]["submit_tool_outputs"]["tool_calls"]
        outputs = {"tool_outputs": [{"tool_call_id": call["id"], "output": "done"}]}
        clock.move(601)
        for _ in range(2):
            late = await server.post(f"{path}/submit_tool_outputs", outputs, headers=KEY)
            assert late.status_code == 400
            assert "expired" in late.json()["error"]["message"]


async def test_a_key_is_forgotten_after_its_time() -> None:
    clock = FixedClock()
    settings = {"idempotency": {"kept_s": 60}}
    async with server_of(clock=clock, settings=settings) as (server, _):
        first = (await server.post("/v1/threads", {}, headers=KEY)).json()["id"]
        clock.move(61)
        assert (await server.post("/v1/threads", {}, headers=KEY)).json()["id"] != first


async def test_a_key_that_is_too_long_is_refused() -> None:
    async with server_of() as (server, _):
        answer = await server.post("/v1/threads", {}, headers={"idempotency-key": "k" * 256})
        assert answer.status_code == 400
        assert answer.json()["error"]["param"] == "idempotency-key"
