"""What OpenAI refuses of a request is refused here, whichever model server would answer."""

from __future__ import annotations

import pytest

from famulus.testing.kit import kernel_with
from famulus.testing.scripted import Script, ScriptedBackend
from famulus_chat import Chat
from famulus_models import Models

pytestmark = pytest.mark.anyio

PATHS = {
    "/v1/chat/completions": {"messages": [{"role": "user", "content": "Hi"}]},
    "/v1/completions": {"prompt": "Hi"},
    "/v1/embeddings": {"input": "Hi"},
}
CHAT, TEXT, VECTORS = PATHS
TOO_LONG = "string_above_max_length"
NAMED = {"type": "function", "function": {"name": "not so!"}}


def asked(path, **fields):
    return {"model": "scripted", **PATHS[path], **fields}


@pytest.mark.parametrize(
    ("path", "fields", "param", "code"),
    [
        (CHAT, {"temperature": 2.5}, "temperature", "decimal_above_max_value"),
        (CHAT, {"temperature": "hot"}, "temperature", "invalid_type"),
        (CHAT, {"top_p": -0.5}, "top_p", "decimal_below_min_value"),
        (CHAT, {"n": 0}, "n", "integer_below_min_value"),
        (CHAT, {"top_logprobs": 21}, "top_logprobs", "integer_above_max_value"),
        (CHAT, {"stop": ["a"] * 5}, "stop", "array_above_max_length"),
        (CHAT, {"metadata": {"k": "v" * 513}}, "metadata.k", TOO_LONG),
        (CHAT, {"safety_identifier": "x" * 65}, "safety_identifier", TOO_LONG),
        (CHAT, {"tools": [NAMED]}, "tools[0].function.name", "invalid_value"),
        (CHAT, {"logprobs": "yes"}, "logprobs", "invalid_type"),
        (TEXT, {"presence_penalty": 3}, "presence_penalty", "decimal_above_max_value"),
        (TEXT, {"max_tokens": -1}, "max_tokens", "integer_below_min_value"),
        (TEXT, {"prompt": []}, "prompt", "empty_array"),
        (VECTORS, {"dimensions": 0}, "dimensions", "integer_below_min_value"),
        (VECTORS, {"input": ["a"] * 2049}, "input", "array_above_max_length"),
    ],
)
async def test_what_openai_refuses_is_refused_by_name(path, fields, param, code):
    async with kernel_with(Models, Chat, backend=ScriptedBackend()) as server:
        answer = await server.post(path, asked(path, **fields))
    error = answer.json()["error"]
    assert (answer.status_code, error["param"], error["code"]) == (400, param, code), error


async def test_null_is_as_if_it_were_not_there():
    fields = {"temperature": None, "stop": None, "tools": None, "metadata": None, "n": None}
    scripted = ScriptedBackend(Script().says("Hi"))
    async with kernel_with(Models, Chat, backend=scripted) as server:
        answer = await server.post(CHAT, asked(CHAT, **fields))
    assert answer.status_code == 200


async def test_words_that_openai_has_not_are_for_the_model_server(road):
    fields = {
        "reasoning_effort": "extreme",
        "service_tier": "mine",
        "response_format": {"type": "structural_tag", "structures": []},
    }
    scripted = ScriptedBackend(Script().says("Hi"))
    async with road(scripted) as server:
        answer = await server.post(CHAT, asked(CHAT, **fields))
    assert answer.status_code == 200, answer.text
    assert scripted.chats[0].body.items() >= fields.items()


async def test_all_of_it_can_be_left_to_the_model_server():
    settings = {"chat": {"refuse_as_openai": False}}
    scripted = ScriptedBackend(Script().says("Hi"))
    async with kernel_with(Models, Chat, backend=scripted, settings=settings) as server:
        answer = await server.post(CHAT, asked(CHAT, temperature=2.5, stop=["a"] * 9))
    assert answer.status_code == 200
