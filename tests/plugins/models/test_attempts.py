"""A server that fails is asked again, or another one is, but never after the first token."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from famulus import Problem
from famulus.testing.scripted import Script, ScriptedBackend, faults
from famulus_schemas.inference import BackendFault, ChatRequest, PromptMessage

pytestmark = pytest.mark.anyio

RETRIED = {
    "unreachable": faults.reset(),
    "broken": faults.status(500),
    "overloaded": faults.status(503),
    "limited": faults.status(429),
}
NOT_RETRIED = {
    "refused": (faults.status(400, "temperature is too low"), 400),
    "unsupported": (faults.kind("unsupported"), 400),
    "timeout": (faults.status(504), 503),
    "not found": (faults.status(404), 404),
    "our key": (faults.status(401), 503),
}


def one(name: str, script: Script) -> ScriptedBackend:
    return ScriptedBackend(script, name=name, models=(f"{name}-model",))


@pytest.mark.parametrize("fault", RETRIED.values(), ids=RETRIED.keys())
async def test_a_chat_is_asked_again(routed, fault):
    script = Script().fails(fault).fails(fault).says("at last")
    async with routed(one("a", script)) as server:
        assert await server.chat("a-model") == "at last"


@pytest.mark.parametrize("fault", RETRIED.values(), ids=RETRIED.keys())
@pytest.mark.parametrize("stream", [False, True])
async def test_a_relayed_request_is_asked_again(routed, fault, stream):
    scripted = one("a", Script().fails(fault).fails(fault).says("at last"))
    async with routed(scripted) as server:
        if stream:
            assert "last" in "".join(await server.stream("a-model"))
        else:
            assert "at last" in (await server.ask("a-model")).text
    assert len(scripted.chats) == 3


async def test_attempts_end(routed):
    scripted = one("a", Script().fails(faults.status(500, "no")).forever())
    async with routed(scripted, attempts_max=4) as server:
        with pytest.raises(BackendFault, match="no") as caught:
            await server.chat("a-model")
    assert caught.value.kind == "broken"
    assert len(scripted.chats) == 4


@pytest.mark.parametrize(("fault", "status"), NOT_RETRIED.values(), ids=NOT_RETRIED.keys())
async def test_what_would_be_the_same_again_is_asked_once(routed, fault, status):
    scripted = one("a", Script().fails(fault).says("never"))
    async with routed(scripted) as server:
        answer = await server.ask("a-model")
    assert answer.status_code == status
    assert len(scripted.chats) == 1


async def test_nothing_is_asked_again_after_the_first_token(routed):
    script = Script().says("one two").breaks(faults.reset(), after=1).says("never")
    scripted = one("a", script)
    async with routed(scripted) as server:
        with pytest.raises(BackendFault):
            await server.chat("a-model")
    assert len(scripted.chats) == 1


async def test_a_stream_that_fails_before_its_first_event_is_asked_again(routed):
    fault = faults.error_event("engine died")
    scripted = one("a", Script().says("x").breaks(fault, after=0).says("at last"))
    async with scripted.serve() as url, over_http(routed, url) as server:
        events = await server.stream("a-model")
    assert events[-1] == "[DONE]"
    assert "last" in "".join(events)
    assert len(scripted.chats) == 2


def over_http(routed, url: str):
    from famulus_http_models.backend import HttpBackend
    from famulus_http_models.link import open_link
    from famulus_http_models.settings import Limits, Server, Timeouts

    class Reached:
        async def __aenter__(self):
            self.link = open_link(Limits())
            server = Server(url=url, name="box")
            backend = await HttpBackend.load(
                server, await self.link.__aenter__(), timeouts=Timeouts(), clock=lambda: 0.0
            )
            self.routed = routed(backend)
            return await self.routed.__aenter__()

        async def __aexit__(self, *error):
            await self.routed.__aexit__(*error)
            await self.link.__aexit__(*error)

    return Reached()


async def test_a_slow_first_event_does_not_hold_the_stream_s_headers_for_ever(routed):
    go = asyncio.Event()
    scripted = one("a", Script().says("one two").waits_for(go))
    async with routed(scripted, first_event_s=0.0) as server:
        body = {"model": "a-model", "stream": True, "messages": [{"role": "user", "content": "x"}]}
        async with server.server.stream("/v1/chat/completions", body) as events:
            assert events.status_code == 200
            go.set()
            assert len(await events.all()) > 2


async def test_the_wait_that_a_server_asks_for_is_passed_on_where_it_is_long(routed):
    scripted = one("a", Script().fails(faults.status(429, "slow down", retry_after_s=55)))
    async with routed(scripted) as server:
        answer = await server.ask("a-model")
    assert answer.status_code == 429
    assert answer.headers["retry-after"] == "55"
    assert answer.json()["error"]["code"] == "rate_limit_exceeded"
    assert len(scripted.chats) == 1


async def test_a_fallback_answers_for_a_server_that_is_down(routed):
    a = one("a", Script().fails(faults.reset()).forever())
    b = one("b", Script().says("I am b").forever())
    async with routed(a, b, fallbacks={"a-model": ["b-model"]}) as server:
        answer = await server.ask("a-model")
        assert await server.chat("a-model") == "I am b"
    assert answer.json()["model"] == "a-model"
    assert answer.headers["x-famulus-model"] == "b-model"


@pytest.mark.parametrize(
    "fault",
    [faults.status(404), faults.status(401), faults.status(504), faults.kind("unsupported")],
    ids=["not found", "our key", "timeout", "unsupported"],
)
async def test_a_fallback_answers_where_the_same_server_would_not(routed, fault):
    a = one("a", Script().fails(fault).forever())
    b = one("b", Script().says("I am b"))
    async with routed(a, b, fallbacks={"a-model": ["b-model"]}) as server:
        assert await server.chat("a-model") == "I am b"
    assert len(a.chats) == 1


async def test_a_fallback_is_not_asked_what_was_refused(routed):
    a = one("a", Script().fails(faults.status(400, "bad schema")))
    b = one("b", Script().says("I am b"))
    async with routed(a, b, fallbacks={"a-model": ["b-model"]}) as server:
        answer = await server.ask("a-model")
    assert answer.status_code == 400
    assert "bad schema" in answer.json()["error"]["message"]
    assert b.chats == []


async def test_an_alias_falls_back_as_its_model_does(routed):
    a = one("a", Script().fails(faults.reset()).forever())
    b = one("b", Script().says("I am b"))
    settings = {"aliases": {"house": "a-model"}, "fallbacks": {"a-model": ["b-model"]}}
    async with routed(a, b, **settings) as server:
        assert await server.chat("house") == "I am b"


async def test_a_fallback_that_nobody_serves_is_passed_over(routed):
    a = one("a", Script().fails(faults.reset()).says("at last"))
    async with routed(a, fallbacks={"a-model": ["gone"]}) as server:
        assert await server.chat("a-model") == "at last"


async def test_no_other_model_embeds_for_one_that_fails(routed):
    a, b = one("a", Script()), one("b", Script())
    a.faults["embeddings"] = faults.reset()
    body = {"model": "a-model", "input": "Oslo"}
    async with routed(a, b, fallbacks={"a-model": ["b-model"]}) as server:
        with pytest.raises(Problem):
            await server.inference.embed("a-model", ["Oslo"])
        answer = await server.server.post("/v1/embeddings", body)
    assert answer.status_code == 503
    assert [each.endpoint for each in b.requests] == ["models"]


async def test_leaving_a_typed_chat_aborts_it_on_its_server(routed):
    scripted = one("a", Script().says("again ").without_end())
    request = ChatRequest(model="a-model", messages=(PromptMessage(role="user", content="Hi"),))
    async with routed(scripted) as server:
        answer = server.inference.chat(request)
        await anext(answer)
        await answer.aclose()
        await scripted.chats[0].ended()
    assert scripted.chats[0].closed_early


async def test_the_fields_of_a_chat_reach_the_server_under_its_own_name_for_the_model(routed):
    scripted = one("a", Script().says("Hi"))
    request = ChatRequest(
        model="house",
        messages=(PromptMessage(role="user", content="Hi"),),
        temperature=0.25,
        stop=("END",),
    )
    async with routed(scripted, aliases={"house": "a-model"}) as server:
        async for _ in server.inference.chat(request):
            pass
    assert scripted.chats[0].chat == msgspec.structs.replace(request, model="a-model")
