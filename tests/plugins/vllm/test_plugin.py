"""vLLM servers that are named are reached as what they are."""

from __future__ import annotations

from typing import ClassVar

import pytest

from famulus import NoSettings, Plugin, need
from famulus.mistakes import ConfigError
from famulus.testing.kit import TestServer, kernel_with
from famulus.testing.scripted import Script, ScriptedBackend
from famulus_models import Models
from famulus_schemas.inference import ChatRequest, PromptMessage
from famulus_schemas.ports import INFERENCE
from famulus_vllm import Vllm

pytestmark = pytest.mark.anyio


class Asks(Plugin[NoSettings]):
    name: ClassVar[str] = "asks"
    inference = need(INFERENCE)


def started(*servers: dict[str, object]):
    return kernel_with(Vllm, Models, Asks, settings={"vllm": {"servers": list(servers)}})


async def said(server: TestServer, **fields: object) -> str:
    request = ChatRequest(
        model="scripted", messages=(PromptMessage(role="user", content="Hi"),), **fields
    )
    answer = server.plugin("asks").inference.chat(request)
    return "".join([chunk.content async for batch in answer for chunk in batch])


async def test_a_named_server_answers():
    scripted = ScriptedBackend(Script().says("Hello"))
    async with scripted.serve() as url, started({"url": url}) as server:
        assert await said(server) == "Hello"


async def test_priority_schema_and_seed_reach_the_server():
    scripted = ScriptedBackend(Script().says("{}"))
    schema = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object"}}}
    async with scripted.serve() as url, started({"url": url}) as server:
        await said(server, priority=-1, response_format=schema, seed=7)
    body = scripted.chats[0].body
    assert (body["priority"], body["response_format"], body["seed"]) == (-1, schema, 7)


async def test_its_context_is_known():
    scripted = ScriptedBackend(context_tokens=2048)
    async with scripted.serve() as url, started({"url": url}) as server:
        card = await server.plugin("asks").inference.find("scripted")
    assert card.context_tokens == 2048


async def test_its_own_tokenizer_counts():
    scripted = ScriptedBackend()
    async with scripted.serve() as url, started({"url": url}) as server:
        count = await server.plugin("asks").inference.count_tokens("scripted", ["one two", "three"])
    assert (count.counts, count.exact) == ((2, 1), True)


async def test_it_is_not_asked_what_it_is():
    scripted = ScriptedBackend(Script().says("Hello"))
    async with scripted.serve() as url, started({"url": url, "models": ["scripted"]}) as server:
        await said(server, priority=2)
    assert [request.endpoint for request in scripted.requests] == ["chat/completions"]
    assert scripted.chats[0].body["priority"] == 2


async def test_without_servers_it_is_off_and_says_what_to_do():
    async with started() as server:
        state, reason = server.state("vllm")
    assert state == "off"
    assert "--backend" in reason


async def test_another_dialect_is_a_mistake():
    with pytest.raises(ConfigError, match="leave it out"):
        async with started({"url": "http://a", "dialect": "openai"}):
            pass


async def test_two_servers_of_one_name_are_a_mistake():
    with pytest.raises(ConfigError, match="two servers are called 'a'"):
        async with started({"url": "http://a"}, {"url": "http://b", "name": "a"}):
            pass
