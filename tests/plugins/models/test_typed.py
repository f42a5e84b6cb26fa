"""Clients' requests on a backend that speaks no HTTP: OpenAI's JSON all the same."""

from __future__ import annotations

import base64
import struct

import msgspec
import pytest

from famulus.testing.scripted import Script, ScriptedBackend, Turn, faults, tool
from famulus_schemas.chat import ChatCompletion, ChatCompletionChunk
from famulus_schemas.completions import Completion
from famulus_schemas.embeddings import EmbeddingList

pytestmark = pytest.mark.anyio


def backend(script: Script) -> ScriptedBackend:
    return ScriptedBackend(script, name="a", models=("m",))


def completion(response) -> ChatCompletion:
    assert response.status_code == 200, response.text
    return msgspec.json.decode(response.content, type=ChatCompletion)


def chunks(events: list[str]) -> list[ChatCompletionChunk]:
    assert events[-1] == "[DONE]"
    return [msgspec.json.decode(event, type=ChatCompletionChunk) for event in events[:-1]]


async def test_an_answer_is_a_chat_completion(routed):
    async with routed(backend(Script().says("Hello there").uses(5, 2))) as server:
        answer = completion(await server.ask("m"))
    assert answer.id.startswith("chatcmpl-")
    assert (answer.model, answer.created) == ("m", 1_700_000_000)
    assert answer.choices[0].message.content == "Hello there"
    assert answer.choices[0].finish_reason == "stop"
    assert (answer.usage.prompt_tokens, answer.usage.total_tokens) == (5, 7)


async def test_calls_are_put_together(routed):
    script = Script().calls(tool("a", {"x": 1}, id="c1"), tool("b", "{}", id="c2")).cut_by(2)
    async with routed(backend(script.interleaved())) as server:
        [choice] = completion(await server.ask("m")).choices
    assert choice.finish_reason == "tool_calls"
    assert choice.message.content is None
    assert [
        (c.id, c.type, c.function.name, c.function.arguments) for c in choice.message.tool_calls
    ] == [
        ("c1", "function", "a", '{"x":1}'),
        ("c2", "function", "b", "{}"),
    ]


async def test_reasoning_and_refusals_have_their_own_fields(routed):
    turn = Turn(text="No.", reasoning="Hm", refusal="I will not")
    async with routed(backend(Script().then(turn))) as server:
        [choice] = completion(await server.ask("m")).choices
    assert choice.message.reasoning_content == "Hm"
    assert choice.message.refusal == "I will not"


async def test_a_stream_is_made_of_chunks(routed):
    async with routed(backend(Script().says("Hello there"))) as server:
        sent = chunks(await server.stream("m"))
    assert sent[0].choices[0].delta.role == "assistant"
    assert [chunk.choices[0].delta.content for chunk in sent[:2]] == ["Hello", " there"]
    assert [chunk.choices[0].finish_reason for chunk in sent] == [None, None, "stop"]
    assert {(chunk.id, chunk.model) for chunk in sent} == {(sent[0].id, "m")}


async def test_streamed_calls_carry_id_and_name_once(routed):
    script = Script().calls(tool("a", {"x": 1}, id="c1")).cut_by(3)
    async with routed(backend(script)) as server:
        sent = chunks(await server.stream("m"))
    deltas = [d for c in sent for d in c.choices[0].delta.tool_calls or ()]
    assert (deltas[0].id, deltas[0].type, deltas[0].function.name) == ("c1", "function", "a")
    assert all(delta.id is msgspec.UNSET for delta in deltas[1:])
    assert "".join(delta.function.arguments for delta in deltas) == '{"x":1}'


async def test_usage_is_sent_to_who_asked_for_it(routed):
    script = Script().says("Hi").uses(5, 2)
    async with routed(backend(script)) as server:
        sent = chunks(await server.stream("m", stream_options={"include_usage": True}))
    assert sent[-1].choices == []
    assert sent[-1].usage.total_tokens == 7


async def test_usage_is_not_sent_to_who_did_not_ask(routed):
    async with routed(backend(Script().says("Hi").uses(5, 2))) as server:
        sent = chunks(await server.stream("m"))
    assert all(chunk.usage is msgspec.UNSET and chunk.choices for chunk in sent)


async def test_a_request_is_read_as_a_typed_chat(routed):
    scripted = backend(Script().says("{}"))
    async with routed(scripted) as server:
        await server.ask(
            "m",
            max_completion_tokens=9,
            temperature=None,
            tools=[{"type": "function", "function": {"name": "f"}}],
            response_format={"type": "json_object"},
            vendor_field=[1],
        )
    chat = scripted.chats[0].chat
    assert (chat.max_tokens, chat.temperature) == (9, None)
    assert chat.tools[0].function.name == "f"
    assert chat.response_format == {"type": "json_object"}


@pytest.mark.parametrize(
    ("fields", "param", "words"),
    [
        ({"messages": [{"role": "wizard", "content": "x"}]}, "messages[0].role", "wizard"),
        ({"messages": [{"role": "user", "content": 5}]}, "messages[0].content", "int"),
        ({"temperature": "hot"}, "temperature", "str"),
        ({"n": 2}, "n", "n above 1"),
        ({"logprobs": True}, "logprobs", "logprobs"),
    ],
)
async def test_what_cannot_be_read_is_refused_by_name(routed, fields, param, words):
    async with routed(backend(Script().says("never"))) as server:
        answer = await server.ask("m", **fields)
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == param
    assert words in answer.json()["error"]["message"]


async def test_a_fault_in_mid_stream_is_an_error_event_and_no_end(routed):
    script = Script().says("one two").breaks(faults.hang_up("engine died"), after=1)
    async with routed(backend(script)) as server:
        events = await server.stream("m")
    error = msgspec.json.decode(events[-1])["error"]
    assert "engine died" in error["message"]
    assert (error["type"], error["code"]) == ("server_error", "backend_unavailable")
    assert "[DONE]" not in events


async def test_a_completion_continues_one_text(routed):
    scripted = backend(Script().says("upon a time").forever())
    async with routed(scripted) as server:
        response = await server.server.post("/v1/completions", {"model": "m", "prompt": "Once"})
    answer = msgspec.json.decode(response.content, type=Completion)
    assert (answer.object, answer.model) == ("text_completion", "m")
    assert answer.choices[0].text == "upon a time"
    assert scripted.chats[0].chat.messages[0].content == "Once"


async def test_a_completion_is_streamed_as_completions(routed):
    async with routed(backend(Script().says("upon a time"))) as server:
        body = {"model": "m", "prompt": ["Once"], "stream": True}
        async with server.server.stream("/v1/completions", body) as events:
            sent = [event.data for event in await events.all()]
    texts = [msgspec.json.decode(event, type=Completion).choices[0].text for event in sent[:-1]]
    assert "".join(texts) == "upon a time"
    assert sent[-1] == "[DONE]"


@pytest.mark.parametrize("prompt", [["a", "b"], [1, 2], [[1]]])
async def test_a_prompt_that_is_not_one_text_is_refused(routed, prompt):
    async with routed(backend(Script().says("never"))) as server:
        answer = await server.server.post("/v1/completions", {"model": "m", "prompt": prompt})
    assert answer.status_code == 400
    assert "not one text" in answer.json()["error"]["message"]


async def test_embeddings_come_as_numbers(routed):
    scripted = backend(Script())
    async with routed(scripted) as server:
        response = await server.server.post("/v1/embeddings", {"model": "m", "input": ["a", "b"]})
    answer = msgspec.json.decode(response.content, type=EmbeddingList)
    assert [one.index for one in answer.data] == [0, 1]
    assert answer.data[1].embedding == pytest.approx(scripted.vector("b"))
    assert answer.model == "m"
    assert answer.usage.total_tokens > 0


async def test_embeddings_come_in_base64(routed):
    scripted = backend(Script())
    body = {"model": "m", "input": "a", "encoding_format": "base64", "dimensions": 4}
    async with routed(scripted) as server:
        [one] = (await server.server.post("/v1/embeddings", body)).json()["data"]
    vector = struct.unpack("<4f", base64.b64decode(one["embedding"]))
    assert list(vector) == pytest.approx(scripted.vector("a", 4), abs=1e-6)


@pytest.mark.parametrize("given", [[1, 2], ["a", 1], [], 7])
async def test_other_inputs_of_embeddings_are_refused(routed, given):
    async with routed(backend(Script())) as server:
        answer = await server.server.post("/v1/embeddings", {"model": "m", "input": given})
    assert answer.status_code == 400


async def test_a_backend_without_embeddings_does_not_support_them(routed):
    class ChatsOnly:
        name = "a"

        async def models(self):
            return await backend(Script()).models()

    async with routed(ChatsOnly()) as server:
        answer = await server.server.post("/v1/embeddings", {"model": "m", "input": "a"})
    assert answer.status_code == 400
    assert "offers no embeddings" in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    ("path", "fields", "param", "words"),
    [
        ("embeddings", {"input": "a", "dimensions": 0}, "dimensions", "but got 0 instead"),
        ("embeddings", {"input": []}, "input", "empty array"),
        (
            "chat/completions",
            {"messages": [{"role": "user", "content": 5}]},
            "messages[0].content",
            "but got an integer instead",
        ),
        (
            "chat/completions",
            {"messages": [{"role": "clown", "content": "Hi"}]},
            "messages[0].role",
            "Invalid value: 'clown'",
        ),
    ],
)
async def test_what_is_wrong_is_said_in_openai_s_words(routed, path, fields, param, words):
    async with routed(backend(Script())) as server:
        answer = await server.server.post(f"/v1/{path}", {"model": "m", **fields})
    error = answer.json()["error"]
    assert (answer.status_code, error["param"]) == (400, param)
    assert words in error["message"]


@pytest.mark.parametrize(
    "fields",
    [
        {"messages": [{"role": "user", "content": [{"type": "input_audio"}]}]},
        {"messages": [{"role": "function", "name": "paint", "content": "Done"}]},
        {"tools": [{"type": "custom", "custom": {"name": "paint"}}]},
    ],
)
async def test_kinds_that_have_no_typed_form_are_not_supported(routed, fields):
    async with routed(backend(Script())) as server:
        answer = await server.ask("m", **fields)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "unsupported")


async def test_a_completion_s_chunks_have_usage_where_it_is_wanted(routed):
    body = {"model": "m", "prompt": "Hi", "stream": True, "stream_options": {"include_usage": True}}
    async with (
        routed(backend(Script().says("Hello there").uses(5, 2))) as server,
        server.server.stream("/v1/completions", body) as events,
    ):
        *told, last, _ = [event.data for event in await events.all()]
    assert {msgspec.json.decode(event)["usage"] for event in told} == {None}
    assert msgspec.json.decode(last)["usage"]["total_tokens"] == 7
