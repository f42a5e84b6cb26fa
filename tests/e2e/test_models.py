"""Models, chat, completions and embeddings, by the official client."""

from __future__ import annotations

import base64
import json
import math
from typing import Any

import pytest
from openai import AsyncOpenAI, OpenAI
from tests.e2e.models import DEGREES, ECHO, GET_WEATHER, WEATHER, Model


def user(content: str) -> Any:
    return [{"role": "user", "content": content}]


def test_the_model_is_listed_and_retrieved(client: OpenAI, model: Model) -> None:
    listed = {each.id: each for each in client.models.list()}
    assert listed[model.id].object == "model"
    assert client.models.retrieve(model.id).id == model.id


def test_a_retired_name_leads_to_the_only_model(client: OpenAI, model: Model) -> None:
    answer = client.chat.completions.create(model="gpt-4o", messages=user(ECHO), temperature=0)
    assert answer.model == "gpt-4o"
    assert model.is_right(ECHO, answer.choices[0].message.content)


def test_a_chat_is_answered(client: OpenAI, model: Model) -> None:
    answer = client.chat.completions.create(model=model.id, messages=user(ECHO), temperature=0)
    (choice,) = answer.choices
    assert model.is_right(ECHO, choice.message.content)
    assert (choice.finish_reason, answer.model, answer.object) == (
        "stop",
        model.id,
        "chat.completion",
    )
    assert answer.usage is not None
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens


def test_a_chat_is_streamed(client: OpenAI, model: Model) -> None:
    chunks = list(
        client.chat.completions.create(
            model=model.id, messages=user(ECHO), temperature=0, stream=True
        )
    )
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    assert model.is_right(ECHO, text)
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert {chunk.model for chunk in chunks} == {model.id}
    # Nobody asked for it, though the server always asks the model.
    assert [chunk.usage for chunk in chunks if chunk.usage] == []


def test_a_streamed_chat_tells_its_usage_if_asked(client: OpenAI, model: Model) -> None:
    chunks = list(
        client.chat.completions.create(
            model=model.id,
            messages=user(ECHO),
            temperature=0,
            stream=True,
            stream_options={"include_usage": True},
        )
    )
    assert chunks[-1].choices == []
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens > 0


def test_a_chat_calls_a_function_and_uses_its_result(client: OpenAI, model: Model) -> None:
    said = user(WEATHER)
    asked = client.chat.completions.create(
        model=model.id, messages=said, tools=[GET_WEATHER], temperature=0
    )
    choice: Any = asked.choices[0]
    assert choice.finish_reason == "tool_calls"
    (call,) = choice.message.tool_calls
    assert call.function.name == "get_weather"
    assert json.loads(call.function.arguments) == {"city": "Reykjavik"}
    said += [choice.message, {"role": "tool", "tool_call_id": call.id, "content": DEGREES}]
    answer = client.chat.completions.create(
        model=model.id, messages=said, tools=[GET_WEATHER], temperature=0
    )
    assert model.is_right(DEGREES, answer.choices[0].message.content)


def test_a_streamed_chat_calls_a_function(client: OpenAI, model: Model) -> None:
    with client.chat.completions.stream(
        model=model.id, messages=user(WEATHER), tools=[GET_WEATHER], temperature=0
    ) as stream:
        choice: Any = stream.get_final_completion().choices[0]
    (call,) = choice.message.tool_calls
    assert json.loads(call.function.arguments) == {"city": "Reykjavik"}
    assert choice.finish_reason == "tool_calls"


async def test_the_async_client_streams_a_chat(async_client: AsyncOpenAI, model: Model) -> None:
    stream = await async_client.chat.completions.create(
        model=model.id, messages=user(ECHO), temperature=0, stream=True
    )
    text = "".join([chunk.choices[0].delta.content or "" async for chunk in stream])
    assert model.is_right(ECHO, text)


def test_a_completion_is_given_and_streamed(client: OpenAI, model: Model) -> None:
    asked = {"model": model.id, "prompt": ECHO, "max_tokens": 20, "temperature": 0, "seed": 1}
    whole = client.completions.create(**asked)  # type: ignore[call-overload]
    assert whole.object == "text_completion"
    assert whole.model == model.id
    chunks = list(client.completions.create(**asked, stream=True))  # type: ignore[call-overload]
    assert "".join(chunk.choices[0].text for chunk in chunks) == whole.choices[0].text
    assert chunks[-1].choices[0].finish_reason == whole.choices[0].finish_reason


def test_texts_are_embedded_as_base64_unless_floats_are_asked_for(
    client: OpenAI, model: Model
) -> None:
    if not model.embeds:
        pytest.skip("this model chats only; embeddings of vLLM have a test of their own")
    texts = ["The capital of Zembla", "Onhava"]
    # The client asks for base64 where it is not told otherwise, and decodes it.
    decoded = client.embeddings.create(model=model.id, input=texts)
    floats = client.embeddings.create(model=model.id, input=texts, encoding_format="float")
    raw = client.embeddings.with_raw_response.create(
        model=model.id, input=texts, encoding_format="base64"
    ).http_response.json()
    assert [each.index for each in decoded.data] == [0, 1]
    for one, other, coded in zip(decoded.data, floats.data, raw["data"], strict=True):
        assert one.embedding == pytest.approx(other.embedding, abs=1e-6)
        assert len(base64.b64decode(coded["embedding"])) == 4 * len(one.embedding)
        assert math.hypot(*one.embedding) == pytest.approx(1, abs=1e-3)
    assert decoded.data[0].embedding != decoded.data[1].embedding
