"""A client's request reaches a model server as it is, and its answer comes back as it was."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from famulus.testing.kit import TestServer
from famulus.testing.scripted import (
    BEFORE_HEADERS,
    Script,
    ScriptedBackend,
    ScriptedFault,
    Turn,
    faults,
    tool,
)

pytestmark = pytest.mark.anyio

PATH = "/v1/chat/completions"


def asked(model: str = "scripted", **fields: Any) -> dict[str, Any]:
    return {"model": model, "messages": [{"role": "user", "content": "Hi"}], **fields}


async def streamed(server: TestServer, body: dict[str, Any], path: str = PATH) -> list[str]:
    async with server.stream(path, {**body, "stream": True}) as events:
        assert events.status_code == 200, await events.response.aread()
        return [event.data for event in await events.all()]


async def test_fields_that_nobody_here_knows_reach_the_server(road):
    scripted = ScriptedBackend(Script().says("Hi"))
    body = asked(
        guided_choice=["a", "b"],
        logit_bias={"50256": -100},
        seed=123456789012345678901234567890,
        chat_template_kwargs={"enable_thinking": False},
        temperature=0.1000000000000000055511151231257827,
    )
    text = json.dumps(body).replace("0.1,", "0.10000000000000000555,")
    async with road(scripted) as server:
        answer = await server.client.post(
            PATH, content=text, headers={"content-type": "application/json"}
        )
    assert answer.status_code == 200
    assert scripted.chats[0].body == json.loads(text)


async def test_an_answer_comes_back_with_every_field_that_its_server_sent(road):
    data = b'{"id":"x","model":"scripted","choices":[],"system_fingerprint":"fp_1","vendor":[1.50]}'
    fault = ScriptedFault(manner="raw_body", kind="broken", message="", data=data)
    async with road(ScriptedBackend(Script().fails(fault))) as server:
        answer = await server.post(PATH, asked())
    assert answer.content == data
    assert answer.headers["content-type"] == "application/json"


async def test_an_answer_names_the_model_as_asked_and_the_real_one_in_a_header(road):
    scripted = ScriptedBackend(Script().says('"model":"scripted"').forever())
    async with road(scripted, aliases={"gpt-4o": "scripted"}) as server:
        answer = await server.post(PATH, asked("gpt-4o"))
        events = await streamed(server, asked("gpt-4o"))
    assert answer.json()["model"] == "gpt-4o"
    assert answer.json()["choices"][0]["message"]["content"] == '"model":"scripted"'
    assert answer.headers["x-famulus-model"] == "scripted"
    assert {json.loads(event)["model"] for event in events[:-1]} == {"gpt-4o"}
    assert scripted.chats[0].body["model"] == "scripted"


async def test_a_stream_comes_back_event_for_event(road):
    scripted = ScriptedBackend(Script().says("Grüße aus Tromsø 🙂").in_writes_of(3))
    async with road(scripted) as server:
        events = await streamed(server, asked())
    texts = [json.loads(event)["choices"][0]["delta"].get("content", "") for event in events[:-1]]
    assert "".join(texts) == "Grüße aus Tromsø 🙂"
    assert events[-1] == "[DONE]"


async def test_usage_is_asked_of_the_server_and_shown_only_to_who_asked(road):
    scripted = ScriptedBackend(Script().says("Hi").uses(3, 1).forever())
    async with road(scripted) as server:
        without = await streamed(server, asked())
        with_it = await streamed(server, asked(stream_options={"include_usage": True}))
    assert all(chat.body["stream_options"] == {"include_usage": True} for chat in scripted.chats)
    assert not any("usage" in event for event in without)
    assert json.loads(with_it[-2])["usage"]["total_tokens"] == 4
    # OpenAI's chunks before it say that theirs is null.
    before = [json.loads(event) for event in with_it[:-2]]
    assert before
    assert [chunk["usage"] for chunk in before] == [None] * len(before)


async def test_a_server_that_knows_no_stream_options_answers_all_the_same(road):
    refusal = faults.status(400, "Unknown parameter: stream_options")
    scripted = ScriptedBackend(Script().fails(refusal).says("Hi"))
    async with road(scripted) as server:
        events = await streamed(server, asked())
    assert events[-1] == "[DONE]"
    assert "stream_options" not in scripted.chats[1].body


async def test_options_that_the_client_chose_are_refused_in_the_server_s_words(road):
    refusal = faults.status(400, "Unknown parameter: stream_options")
    scripted = ScriptedBackend(Script().fails(refusal))
    body = asked(stream=True, stream_options={"include_usage": True})
    async with road(scripted) as server:
        answer = await server.post(PATH, body)
    assert answer.status_code == 400
    assert "stream_options" in answer.json()["error"]["message"]


async def test_a_tool_call_comes_back_as_it_is(road):
    scripted = ScriptedBackend(Script().calls(tool("f", {"x": [1, 2]}, id="c1")))
    async with road(scripted) as server:
        answer = await server.post(
            PATH, asked(tools=[{"type": "function", "function": {"name": "f"}}])
        )
    [call] = answer.json()["choices"][0]["message"]["tool_calls"]
    assert call == {
        "id": "c1",
        "type": "function",
        "function": {"name": "f", "arguments": '{"x":[1,2]}'},
    }


async def test_a_completion_comes_back_as_it_is(road):
    scripted = ScriptedBackend(Script().says("upon a time").forever())
    body = {"model": "scripted", "prompt": "Once", "echo": True}
    async with road(scripted) as server:
        answer = await server.post("/v1/completions", body)
        events = await streamed(server, body, "/v1/completions")
    assert answer.json()["choices"][0]["text"] == "upon a time"
    assert (
        "".join(json.loads(event)["choices"][0]["text"] for event in events[:-1]) == "upon a time"
    )
    assert scripted.chats[0].body == body


async def test_a_prompt_of_null_is_the_beginning_of_a_document(road):
    scripted = ScriptedBackend(Script().says("Once upon a time"))
    async with road(scripted) as server:
        answer = await server.post("/v1/completions", {"model": "scripted", "prompt": None})
    assert answer.status_code == 200
    assert scripted.chats[0].body["prompt"] == "<|endoftext|>"


async def test_embeddings_come_back_as_they_are(road):
    scripted = ScriptedBackend()
    body = {"model": "scripted", "input": ["a"], "encoding_format": "base64"}
    async with road(scripted) as server:
        answer = await server.post("/v1/embeddings", body)
    assert isinstance(answer.json()["data"][0]["embedding"], str)
    assert answer.headers["x-famulus-model"] == "scripted"


async def test_the_request_id_goes_along(road):
    scripted = ScriptedBackend(Script().says("Hi"))
    async with road(scripted) as server:
        answer = await server.post(PATH, asked(), headers={"x-request-id": "mine-1"})
    assert answer.headers["x-request-id"] == "mine-1"
    assert scripted.chats[0].headers["x-request-id"] == "mine-1"


async def test_the_client_s_key_does_not_go_along(road):
    scripted = ScriptedBackend(Script().says("Hi"))
    async with road(scripted) as server:
        await server.post(PATH, asked(), headers={"authorization": "Bearer sk-client"})
    assert "authorization" not in scripted.chats[0].headers


@pytest.mark.parametrize(
    ("path", "body", "param", "code", "message"),
    [
        (PATH, {}, "messages", "missing_required_parameter", "'messages'"),
        (PATH, {"messages": []}, "messages", "empty_array", "empty array"),
        (PATH, {"messages": [{}]}, "model", "missing_required_parameter", "'model'"),
        (PATH, {"messages": [{}], "model": None}, "model", "missing_required_parameter", "'model'"),
        (PATH, {"messages": "Hi", "model": "m"}, "messages", "invalid_type", "got a string"),
        (PATH, {"messages": [{}], "model": 4}, "model", "invalid_type", "got an integer"),
        (PATH, {"messages": [{}], "model": ["m"]}, "model", "invalid_type", "got an array"),
        (PATH, {"messages": [{}], "model": "m", "stream": 1}, "stream", "invalid_type", "boolean"),
        ("/v1/completions", {"model": "m"}, "prompt", "missing_required_parameter", "'prompt'"),
        ("/v1/embeddings", {"model": "m"}, "input", "missing_required_parameter", "'input'"),
        ("/v1/embeddings", {"model": "m", "input": []}, "input", "empty_array", "empty array"),
    ],
)
async def test_what_must_be_there_is_missed_in_openai_s_words(
    road, path, body, param, code, message
):
    async with road(ScriptedBackend()) as server:
        answer = await server.post(path, body)
    error = answer.json()["error"]
    assert answer.status_code == 400
    assert error["param"] == param
    assert error["code"] == code
    assert message in error["message"]


ANSWERS = {
    "status 400": (faults.status(400, "too hot"), 400, None, "too hot"),
    "status 401": (faults.status(401, "who?"), 503, "backend_unavailable", "api_key"),
    "status 403": (faults.status(403), 503, "backend_unavailable", "api_key"),
    "status 404": (faults.status(404), 404, "model_not_found", "does not exist"),
    "status 405": (faults.status(405), 400, "unsupported", "cannot do this"),
    "status 413": (faults.status(413, "too big"), 413, None, "too big"),
    "status 422": (faults.status(422, "odd"), 400, None, "odd"),
    "status 429": (faults.status(429, "slow"), 429, "rate_limit_exceeded", "slow"),
    "status 500": (faults.status(500, "oops"), 503, "backend_unavailable", "oops"),
    "status 503": (faults.status(503, "loading"), 503, "backend_unavailable", "loading"),
    "status 504": (faults.status(504, "late"), 503, "backend_unavailable", "late"),
    "reset": (faults.reset(), 503, "backend_unavailable", "connection"),
    "hang up": (faults.hang_up(), 503, "backend_unavailable", "closed the connection"),
    "error in a 200": (faults.error_body("died"), 503, "backend_unavailable", "died"),
    "web page": (faults.wrong_content_type(), 503, "backend_unavailable", "text/html"),
}


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize(("fault", "status", "code", "words"), ANSWERS.values(), ids=ANSWERS.keys())
async def test_a_fault_is_told_in_openai_s_envelope(road, stream, fault, status, code, words):
    scripted = ScriptedBackend(Script().fails(fault))
    async with road(scripted) as server:
        answer = await server.post(PATH, asked(stream=stream))
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/json"
    error = answer.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["code"] == code
    assert words in error["message"]


async def test_a_server_that_is_gone_is_told_as_such(road):
    scripted = ScriptedBackend(Script().says("Hi"))
    async with road(scripted) as server:
        await server.get("/v1/models")
        async with scripted.refusing():
            answer = await server.post(PATH, asked())
    assert answer.status_code == 503
    assert "is it running" in answer.json()["error"]["message"]


async def test_an_engine_that_dies_before_the_first_token_is_a_status(road):
    turn = Turn(fault=faults.error_event("engine died"))
    async with road(ScriptedBackend(Script().then(turn))) as server:
        answer = await server.post(PATH, asked(stream=True))
    assert answer.status_code == 503
    assert "engine died" in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    "fault", [faults.error_event("engine died"), faults.reset(), faults.hang_up()]
)
async def test_an_engine_that_dies_in_mid_stream_does_not_look_like_an_end(road, fault):
    scripted = ScriptedBackend(Script().says("one two").breaks(fault, after=1))
    async with road(scripted) as server:
        events = await streamed(server, asked())
    assert json.loads(events[0])["choices"][0]["delta"]["content"] == "one"
    error = json.loads(events[-1])["error"]
    assert error["type"] == "server_error"
    assert "'box'" in error["message"]
    assert "[DONE]" not in events


async def test_a_client_that_leaves_aborts_its_answer(road):
    scripted = ScriptedBackend(Script().says("again ").without_end())
    async with road(scripted) as server:
        async with server.stream(PATH, asked(stream=True)) as events:
            async for _ in events:
                break
        await (await scripted.arrived()).ended()
    assert scripted.chats[0].closed_early


async def test_a_client_that_leaves_before_the_first_token_aborts_its_answer(road):
    never = asyncio.Event()
    scripted = ScriptedBackend(Script().says("Hi").waits_for(never))
    async with road(scripted, first_event_s=0.0) as server:
        async with server.stream(PATH, asked(stream=True)) as events:
            assert events.status_code == 200
        await (await scripted.arrived()).ended()
    assert scripted.chats[0].closed_early


async def test_a_request_that_is_cancelled_aborts_its_answer(road):
    never = asyncio.Event()
    scripted = ScriptedBackend(Script().says("Hi").waits_for(never, after=BEFORE_HEADERS))
    async with road(scripted) as server:
        asking = asyncio.create_task(server.post(PATH, asked()))
        received = await scripted.arrived()
        asking.cancel()
        await asyncio.wait([asking])
        await received.ended()
    assert received.closed_early


async def test_a_large_picture_fits_and_the_limit_is_a_setting():
    from famulus.testing.kit import kernel_with
    from famulus_chat import Chat
    from famulus_models import Models

    scripted = ScriptedBackend(Script().says("Nice").forever())
    small = {"chat": {"body_bytes_max": 4096}}
    body = asked(picture="x" * 5000)
    async with kernel_with(Models, Chat, backend=scripted, settings=small) as server:
        assert (await server.post(PATH, body)).status_code == 413
    async with kernel_with(Models, Chat, backend=scripted) as server:
        assert (await server.post(PATH, asked(picture="x" * 20_000_000))).status_code == 200
