"""The stand-in as a backend: what it streams, counts, embeds and refuses."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from famulus_builtin import Builtin, BuiltinSettings, tokens
from famulus_builtin.backend import LEXICAL, MODEL, BuiltinBackend
from famulus_schemas.inference import (
    BackendFault,
    ChatChunk,
    ChatRequest,
    CountsTokens,
    EmbedsTexts,
)

pytestmark = pytest.mark.anyio

Make = Callable[..., ChatRequest]


@pytest.fixture
def backend() -> BuiltinBackend:
    return BuiltinBackend(BuiltinSettings())


async def chunks_of(backend: BuiltinBackend, request: ChatRequest) -> list[ChatChunk]:
    return [chunk async for batch in backend.chat(request) for chunk in batch]


def text_of(chunks: list[ChatChunk]) -> str:
    return "".join(chunk.content for chunk in chunks)


async def test_it_serves_models_whose_cards_say_what_they_are(backend: BuiltinBackend) -> None:
    stand_in, lexical = await backend.models()
    assert (stand_in.id, stand_in.backend, stand_in.chats) == ("famulus-builtin", "builtin", True)
    assert "not a language model" in str(stand_in.note)
    assert (lexical.id, lexical.backend, lexical.chats) == ("famulus-lexical-1", "builtin", False)
    assert "by the words" in str(lexical.note)


async def test_an_answer_streams_word_by_word(backend: BuiltinBackend, chat_request: Make) -> None:
    chunks = await chunks_of(backend, chat_request("Say one two  three"))
    assert [chunk.content for chunk in chunks] == ["one", " two", "  three", ""]


async def test_the_last_chunk_has_finish_reason_and_usage(
    backend: BuiltinBackend, chat_request: Make
) -> None:
    last = (await chunks_of(backend, chat_request("Say one two three")))[-1]
    assert last.finish_reason == "stop"
    assert last.usage is not None
    assert last.usage.prompt_tokens == 4 + tokens.count("Say one two three")
    assert last.usage.completion_tokens == 3
    assert last.usage.total_tokens == last.usage.prompt_tokens + 3


async def test_calls_stream_with_name_first_and_arguments_after(
    backend: BuiltinBackend, chat_request: Make, offer: Callable[..., Any]
) -> None:
    request = chat_request(
        "What is the weather in New York and in Rome?", tools=[offer("get_weather", city="string")]
    )
    chunks = await chunks_of(backend, request)
    deltas = [delta for chunk in chunks for delta in chunk.tool_calls]
    assert [(d.index, d.name, d.arguments) for d in deltas] == [
        (0, "get_weather", ""),
        (0, None, '{"city":"New'),
        (0, None, ' York"}'),
        (1, "get_weather", ""),
        (1, None, '{"city":"Rome"}'),
    ]
    assert deltas[0].id != deltas[3].id
    assert chunks[-1].finish_reason == "tool_calls"
    assert text_of(chunks) == ""


@pytest.mark.parametrize("text", ["Hello", "What is the weather in Oslo and Rome?", "Say a b c"])
async def test_equal_requests_get_equal_bytes(
    backend: BuiltinBackend, chat_request: Make, offer: Callable[..., Any], text: str
) -> None:
    tools = [offer("get_weather", city="string")]
    answers = [
        msgspec.json.encode(
            await chunks_of(backend, chat_request(text, tools=tools, seed=seed, temperature=seed))
        )
        for seed in (1, 2)
    ]
    assert answers[0] == answers[1]


async def test_a_later_turn_has_other_call_ids(
    backend: BuiltinBackend, chat_request: Make, offer: Callable[..., Any]
) -> None:
    tools = [offer("get_weather", city="string")]
    first = await chunks_of(backend, chat_request("weather in Oslo", tools=tools))
    later = await chunks_of(backend, chat_request("Hi", "weather in Oslo", tools=tools))
    assert first[0].tool_calls[0].id != later[0].tool_calls[0].id


@pytest.mark.parametrize(
    ("most", "text", "reason"), [(2, "one two", "length"), (3, "one two three", "stop")]
)
async def test_max_tokens_is_obeyed(
    backend: BuiltinBackend, chat_request: Make, most: int, text: str, reason: str
) -> None:
    chunks = await chunks_of(backend, chat_request("Say one two three", max_tokens=most))
    assert text_of(chunks) == text
    assert chunks[-1].finish_reason == reason
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == most


async def test_a_call_that_max_tokens_cuts_ends_with_length(
    backend: BuiltinBackend, chat_request: Make, offer: Callable[..., Any]
) -> None:
    request = chat_request(
        "weather in Oslo", tools=[offer("get_weather", city="string")], max_tokens=5
    )
    chunks = await chunks_of(backend, request)
    written = "".join(delta.arguments for chunk in chunks for delta in chunk.tool_calls)
    assert '{"city":"Oslo"}'.startswith(written)
    assert written != '{"city":"Oslo"}'
    assert chunks[-1].finish_reason == "length"


@pytest.mark.parametrize("stop", ["two", ["nothing", "two"]])
async def test_stop_words_end_the_answer(
    backend: BuiltinBackend, chat_request: Make, stop: Any
) -> None:
    chunks = await chunks_of(backend, chat_request("Say one two three", stop=stop))
    assert text_of(chunks) == "one "
    assert chunks[-1].finish_reason == "stop"


async def test_the_pace_is_kept_by_the_injected_sleep(chat_request: Make) -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    backend = BuiltinBackend(BuiltinSettings(tokens_per_s=10), sleep=sleep)
    await chunks_of(backend, chat_request("Say one internationally"))
    assert slept == [0.1, 0.3]


async def test_a_prompt_beyond_the_context_is_refused(chat_request: Make) -> None:
    backend = BuiltinBackend(BuiltinSettings(context_tokens=256))
    with pytest.raises(BackendFault) as caught:
        await chunks_of(backend, chat_request("word " * 300))
    assert (caught.value.kind, caught.value.code) == ("refused", "context_length_exceeded")
    assert "maximum context length is 256 tokens" in caught.value.message


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        (
            {"response_format": {"type": "json_schema", "json_schema": {"schema": False}}},
            "response_format",
        ),
        ({"tool_choice": {"type": "function", "function": {"name": "x"}}}, "tools"),
        ({"tool_choice": {"type": "function", "function": ["x"]}}, "tools"),
        ({"response_format": {"type": "json_schema", "json_schema": ["x"]}}, "response_format"),
    ],
)
async def test_what_cannot_be_done_is_refused_and_not_worth_a_retry(
    backend: BuiltinBackend, chat_request: Make, fields: dict[str, Any], param: str
) -> None:
    with pytest.raises(BackendFault) as caught:
        await chunks_of(backend, chat_request("Hello", **fields))
    assert (caught.value.kind, caught.value.param) == ("refused", param)


async def test_another_model_is_not_found(backend: BuiltinBackend, chat_request: Make) -> None:
    request = msgspec.structs.replace(chat_request("Hello"), model="gpt-4o")
    with pytest.raises(BackendFault) as caught:
        await chunks_of(backend, request)
    assert caught.value.kind == "not_found"


async def test_it_embeds_texts(backend: BuiltinBackend) -> None:
    assert isinstance(backend, EmbedsTexts)
    one, two = await backend.embed(MODEL, ["Oslo", "Rome"])
    assert len(one) == 384
    assert one != two
    assert len((await backend.embed(MODEL, ["Oslo"], 8))[0]) == 8


async def test_the_lexical_model_embeds_and_does_not_chat(
    backend: BuiltinBackend, chat_request: Make
) -> None:
    one, two = await backend.embed(LEXICAL, ["Oslo", "Rome"])
    assert len(one) == len(two) == 768
    request = msgspec.structs.replace(chat_request("Hello"), model=LEXICAL)
    with pytest.raises(BackendFault, match="does not chat") as caught:
        await chunks_of(backend, request)
    assert caught.value.kind == "unsupported"


@pytest.mark.parametrize("dimensions", [-1, 5000])
async def test_senseless_dimensions_are_refused(backend: BuiltinBackend, dimensions: int) -> None:
    with pytest.raises(BackendFault, match="dimensions must be from 1 to 4096"):
        await backend.embed(MODEL, ["Oslo"], dimensions)


async def test_a_text_too_long_to_embed_is_refused() -> None:
    backend = BuiltinBackend(BuiltinSettings(embedding_tokens_max=3))
    with pytest.raises(BackendFault, match="maximum context length is 3 tokens"):
        await backend.embed(MODEL, ["one two three four"])


async def test_many_texts_of_many_callers_come_in_order(backend: BuiltinBackend) -> None:
    texts = [f"item {number}" for number in range(50)]
    together = await asyncio.gather(*(backend.embed(LEXICAL, texts) for _ in range(3)))
    (alone,) = await backend.embed(LEXICAL, [texts[37]])
    assert all(vectors[37] == alone for vectors in together)
    assert [len(vectors) for vectors in together] == [50, 50, 50]


async def test_the_lexical_model_takes_texts_of_any_length() -> None:
    backend = BuiltinBackend(BuiltinSettings(embedding_tokens_max=3))
    [vector] = await backend.embed(LEXICAL, ["one two three four"])
    assert len(vector) == 768


async def test_it_counts_tokens(backend: BuiltinBackend) -> None:
    assert isinstance(backend, CountsTokens)
    assert await backend.count_tokens(MODEL, ["one two", ""]) == [2, 0]


async def test_an_answer_can_be_left_before_its_end(
    backend: BuiltinBackend, chat_request: Make
) -> None:
    answer = backend.chat(chat_request("Say one two three"))
    (first,) = await anext(answer)
    await answer.aclose()
    assert first.content == "one"


def test_the_plugin_brings_the_backend() -> None:
    plugin = Builtin(BuiltinSettings(), None)  # type: ignore[arg-type]
    (backend,) = plugin.register_backends()
    assert backend.name == "builtin"
