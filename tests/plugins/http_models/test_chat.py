"""A typed chat with a model server over HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from famulus.testing.scripted import Script, ScriptedBackend, Turn, tool
from famulus_http_models.settings import Timeouts
from famulus_schemas.inference import (
    Backend,
    BackendFault,
    ChatChunk,
    ChatRequest,
    PromptMessage,
    TokenUsage,
    ToolCallDelta,
)

pytestmark = pytest.mark.anyio


def asked(text: str = "Hi", **fields: object) -> ChatRequest:
    message = PromptMessage(role="user", content=text)
    return ChatRequest(**{"model": "scripted", "messages": (message,), **fields})


async def chunks_of(backend: Backend, request: ChatRequest | None = None) -> list[ChatChunk]:
    return [chunk async for batch in backend.chat(request or asked()) for chunk in batch]


async def hear(backend: Backend, heard: list[ChatChunk]) -> None:
    async for batch in backend.chat(asked()):
        heard += batch


def said(chunks: Sequence[ChatChunk]) -> str:
    return "".join(chunk.content for chunk in chunks)


def calls_of(chunks: Sequence[ChatChunk]) -> dict[int, tuple[str | None, str | None, str]]:
    """Each call's id, name and arguments, put together as an engine does."""
    calls: dict[int, tuple[str | None, str | None, str]] = {}
    for delta in (delta for chunk in chunks for delta in chunk.tool_calls):
        id, name, arguments = calls.get(delta.index, (None, None, ""))
        calls[delta.index] = (id or delta.id, name or delta.name, arguments + delta.arguments)
    return calls


async def test_an_answer_arrives_whole_with_its_reason_and_usage(reach):
    scripted = ScriptedBackend(Script().says("It rains in Oslo.").uses(7, 4, cached=3))
    async with reach(scripted) as backend:
        chunks = await chunks_of(backend)
    assert said(chunks) == "It rains in Oslo."
    assert [chunk.finish_reason for chunk in chunks if chunk.finish_reason] == ["stop"]
    assert [chunk.usage for chunk in chunks if chunk.usage] == [
        TokenUsage(prompt_tokens=7, completion_tokens=4, total_tokens=11, cached_tokens=3)
    ]


async def test_usage_is_always_asked_for(reach):
    scripted = ScriptedBackend(Script().says("Hi"))
    async with reach(scripted) as backend:
        await chunks_of(backend)
    body = scripted.chats[0].body
    assert (body["stream"], body["stream_options"]) == (True, {"include_usage": True})


async def test_reasoning_and_refusals_are_kept_apart_from_the_text(reach):
    turn = Turn(text="No.", reasoning="Let me think", refusal="I will not")
    async with reach(ScriptedBackend(Script().then(turn))) as backend:
        chunks = await chunks_of(backend)
    assert said(chunks) == "No."
    assert "".join(chunk.reasoning for chunk in chunks) == "Let me think"
    assert "".join(chunk.refusal for chunk in chunks) == "I will not"


async def test_interleaved_calls_come_with_their_own_arguments(reach):
    script = Script().calls(tool("a", {"x": 1}, id="c1"), tool("b", {"y": "two"}, id="c2"))
    async with reach(ScriptedBackend(script.cut_by(3).interleaved())) as backend:
        chunks = await chunks_of(backend)
    assert calls_of(chunks) == {0: ("c1", "a", '{"x":1}'), 1: ("c2", "b", '{"y":"two"}')}
    assert chunks[-1].finish_reason == "tool_calls" or chunks[-2].finish_reason == "tool_calls"


async def test_a_call_that_was_forced_by_name_ends_in_tool_calls(reach):
    script = Script().calls(tool("a", {"x": 1})).finishes("stop")
    async with reach(ScriptedBackend(script)) as backend:
        chunks = await chunks_of(backend)
    assert [chunk.finish_reason for chunk in chunks if chunk.finish_reason] == ["tool_calls"]


async def test_keys_that_are_null_read_as_absent(reach):
    async with reach(ScriptedBackend(Script().says("Hi there").with_nulls())) as backend:
        assert said(await chunks_of(backend)) == "Hi there"


@pytest.mark.parametrize("size_bytes", [1, 2, 7])
async def test_an_answer_may_be_cut_at_any_byte(reach, size_bytes):
    script = Script().says("Grüße aus Tromsø: 東京 🙂").in_writes_of(size_bytes)
    async with reach(ScriptedBackend(script)) as backend:
        assert said(await chunks_of(backend)) == "Grüße aus Tromsø: 東京 🙂"


async def test_what_arrived_together_is_one_batch(reach):
    script = Script().says("one two three four").together(99)
    async with reach(ScriptedBackend(script)) as backend:
        batches = [batch async for batch in backend.chat(asked())]
    assert said(batches[0]) == "one two three four"


async def test_a_stream_without_done_is_whole_once_it_said_why_it_stopped(reach):
    script = Script().says("Hi there").without_done()
    async with reach(ScriptedBackend(script)) as backend:
        assert said(await chunks_of(backend)) == "Hi there"


async def test_leaving_aborts_the_answer_on_the_server(reach):
    scripted = ScriptedBackend(Script().says("again ").without_end())
    async with reach(scripted) as backend:
        answer = backend.chat(asked())
        await anext(answer)
        await answer.aclose()
        received = await scripted.arrived()
        await received.ended()
    assert received.closed_early


async def test_a_cancelled_reader_aborts_the_answer_on_the_server(reach):
    never = asyncio.Event()
    scripted = ScriptedBackend(Script().says("one two").waits_for(never, after=1))
    async with reach(scripted) as backend:
        reading = asyncio.create_task(chunks_of(backend))
        received = await scripted.arrived()
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        await received.ended()
    assert received.closed_early


async def test_a_complete_answer_leaves_its_connection_for_the_next(reach, answering):
    event = b'data: {"choices":[{"delta":{"content":"Hi"},"finish_reason":"stop"}]}\n\n'
    body = event + b"data: [DONE]\n\n"
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: %d\r\n\r\n"
    async with answering(head % len(body) + body) as server, reach(server.url) as backend:
        answers = [said(await chunks_of(backend)) for _ in range(3)]
    assert answers == ["Hi", "Hi", "Hi"]
    assert (server.requests, server.connections) == (3, 1)


async def test_only_the_first_choice_is_read(reach):
    event = (
        b'data: {"choices":[{"index":1,"delta":{"content":"other"}},'
        b'{"index":0,"delta":{"content":"mine"},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
    )
    async with reach(raw(event)) as backend:
        assert said(await chunks_of(backend)) == "mine"


async def test_calls_without_an_index_are_told_apart_by_their_ids(reach):
    event = (
        b'data: {"choices":[{"delta":{"tool_calls":[{"id":"c1","function":'
        b'{"name":"a","arguments":"{}"}}]}}]}\r\n\r\n'
        b'data: {"choices":[{"delta":{"tool_calls":[{"index":0,"id":"c2","function":'
        b'{"name":"b","arguments":"[]"}}]},"finish_reason":"tool_calls"}]}\r\n\r\n'
        b"data: [DONE]\r\n\r\n"
    )
    async with reach(raw(event)) as backend:
        chunks = await chunks_of(backend)
    assert calls_of(chunks) == {0: ("c1", "a", "{}"), 1: ("c2", "b", "[]")}


async def test_a_comment_and_an_event_name_do_not_disturb(reach):
    event = (
        b": keep-alive\n\nevent: message\nid: 1\ndata: "
        b'{"choices":[{"delta":{"content":"Hi"},"finish_reason":"stop"}]}\n\ndata:[DONE]\n\n'
    )
    async with reach(raw(event)) as backend:
        assert said(await chunks_of(backend)) == "Hi"


async def test_a_last_event_without_its_blank_line_counts(reach):
    event = b'data: {"choices":[{"delta":{"content":"Hi"},"finish_reason":"stop"}]}'
    async with reach(raw(event)) as backend:
        assert said(await chunks_of(backend)) == "Hi"


def raw(data: bytes) -> ScriptedBackend:
    """A server that sends these bytes as its stream."""
    from famulus.testing.scripted import ScriptedFault

    fault = ScriptedFault(manner="raw_event", kind="broken", message="", data=data)
    return ScriptedBackend(Script().then(Turn(fault=fault)))


async def test_a_request_is_sent_in_openai_s_words_without_what_others_refuse(reach):
    scripted = ScriptedBackend(Script().says("Hi"))
    request = ChatRequest(
        model="scripted",
        messages=(
            PromptMessage(role="developer", content="Be brief."),
            PromptMessage(role="user", content="Hi"),
        ),
        temperature=0.5,
        max_tokens=9,
        priority=3,
        response_format={"type": "json_object"},
    )
    async with reach(scripted, dialect="openai") as backend:
        await chunks_of(backend, request)
    body = scripted.chats[0].body
    assert body["messages"][0] == {"role": "system", "content": "Be brief."}
    assert (body["temperature"], body["max_tokens"]) == (0.5, 9)
    assert body["response_format"] == {"type": "json_object"}
    assert "priority" not in body


async def test_the_limit_of_an_answer_goes_by_the_name_that_the_server_wants(reach):
    scripted = ScriptedBackend(Script().says("Hi"))
    async with reach(scripted, dialect="openai", limit_field="max_completion_tokens") as backend:
        await chunks_of(backend, asked(max_tokens=9))
    body = scripted.chats[0].body
    assert body["max_completion_tokens"] == 9
    assert "max_tokens" not in body


async def test_key_and_headers_are_sent(reach):
    from famulus import Secret

    scripted = ScriptedBackend(Script().says("Hi"), api_key="k-123")
    async with reach(
        scripted, api_key=Secret("k-123"), headers={"X-Team": Secret("blue")}
    ) as backend:
        await chunks_of(backend)
    assert scripted.chats[0].headers["x-team"] == "blue"


async def test_a_silent_reader_is_not_taken_for_a_silent_server(reach):
    scripted = ScriptedBackend(Script().says("one two three"))
    async with reach(scripted, timeouts=Timeouts(idle_timeout_s=0.05)) as backend:
        answer = backend.chat(asked())
        chunks = list(await anext(answer))
        await asyncio.sleep(0.2)
        chunks += [chunk async for batch in answer for chunk in batch]
    assert said(chunks) == "one two three"


def test_a_delta_names_its_call_once() -> None:
    from famulus_http_models.chunks import ChatReader

    reader = ChatReader("box")
    first = b'{"choices":[{"delta":{"tool_calls":[{"index":0,"id":"c","function":{"name":"a"}}]}}]}'
    again = first.replace(b'"name":"a"', b'"name":"a","arguments":"{}"')
    chunks = reader.read(b"data: " + first + b"\n\ndata: " + again + b"\n\n")
    assert [chunk.tool_calls[0] for chunk in chunks] == [
        ToolCallDelta(index=0, id="c", name="a"),
        ToolCallDelta(index=0, arguments="{}"),
    ]


async def test_an_answer_that_the_server_gave_up_is_a_fault_behind_what_came(reach):
    event = (
        b'data: {"choices":[{"delta":{"content":"Hel"}}]}\n\n'
        b'data: {"choices":[{"delta":{},"finish_reason":"abort"}]}\n\ndata: [DONE]\n\n'
    )
    heard: list[ChatChunk] = []
    async with reach(raw(event)) as backend:
        with pytest.raises(BackendFault, match="gave up") as caught:
            await hear(backend, heard)
    assert said(heard) == "Hel"
    assert caught.value.kind == "broken"
