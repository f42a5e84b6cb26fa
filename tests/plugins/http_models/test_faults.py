"""Whatever goes wrong at a model server becomes a fault of the right kind, with advice."""

from __future__ import annotations

import asyncio
import socket

import pytest

from famulus.testing.scripted import (
    BEFORE_HEADERS,
    Script,
    ScriptedBackend,
    ScriptedFault,
    Turn,
    faults,
    tool,
)
from famulus_http_models.settings import Limits, Timeouts
from famulus_schemas.inference import (
    Backend,
    BackendFault,
    ChatChunk,
    ChatRequest,
    PromptMessage,
    RelayRequest,
)

pytestmark = pytest.mark.anyio

SHORT = Timeouts(first_byte_timeout_s=0.2, idle_timeout_s=0.2, list_timeout_s=0.2)

EVERY_FAULT = {
    "status 400": (faults.status(400, "temperature is too low"), "refused", "temperature"),
    "status 401": (faults.status(401, "sk-secret is wrong"), "refused", "api_key"),
    "status 403": (faults.status(403), "refused", "api_key"),
    "status 404": (faults.status(404, "no such model"), "not_found", "no such model"),
    "status 405": (faults.status(405), "unsupported", "scripted status 405"),
    "status 408": (faults.status(408), "timeout", "scripted status 408"),
    "status 413": (faults.status(413), "refused", "scripted status 413"),
    "status 422": (faults.status(422), "refused", "scripted status 422"),
    "status 429": (faults.status(429, "slow down"), "overloaded", "slow down"),
    "status 500": (faults.status(500), "broken", "scripted status 500"),
    "status 502": (faults.status(502), "broken", "scripted status 502"),
    "status 503": (faults.status(503), "overloaded", "scripted status 503"),
    "status 529": (faults.status(529), "overloaded", "scripted status 529"),
    "status 504": (faults.status(504), "timeout", "scripted status 504"),
    "error in a 200 body": (faults.error_body("engine died"), "broken", "engine died"),
    "error event": (faults.error_event("engine died"), "broken", "engine died"),
    "reset": (faults.reset(), "unreachable", "connection"),
    "hang up": (faults.hang_up(), "broken", "closed the connection"),
    "stall": (faults.stall(), "timeout", "0.2 s"),
    "comments for ever": (faults.babble(), "timeout", "0.2 s"),
    "empty chunks for ever": (faults.empty_chunks(), "timeout", "0.2 s"),
    "garbage": (faults.garbage(), "broken", "no chat chunk"),
    "truncated text": (faults.truncated_utf8(), "broken", "no chat chunk"),
    "one long line": (faults.oversized_line(200_000), "broken", "event_bytes_max"),
    "web page": (faults.wrong_content_type(), "broken", "text/html"),
}


def cases(*but: str) -> pytest.MarkDecorator:
    chosen = {name: case for name, case in EVERY_FAULT.items() if not name.startswith(but)}
    return pytest.mark.parametrize(("fault", "kind", "words"), chosen.values(), ids=chosen.keys())


def asked() -> ChatRequest:
    return ChatRequest(model="scripted", messages=(PromptMessage(role="user", content="Hi"),))


def relayed(*, stream: bool = True) -> RelayRequest:
    from msgspec import Raw

    fields = {
        "model": Raw(b'"scripted"'),
        "messages": Raw(b'[{"role":"user","content":"Hi"}]'),
        "stream": Raw(b"true" if stream else b"false"),
    }
    return RelayRequest(endpoint="chat/completions", model="scripted", stream=stream, fields=fields)


async def read_chat(backend: Backend) -> list[ChatChunk]:
    return [chunk async for batch in backend.chat(asked()) for chunk in batch]


async def hear(backend: Backend, heard: list[ChatChunk]) -> None:
    async for batch in backend.chat(asked()):
        heard += batch


async def pass_on(backend: Backend, passed: list[bytes]) -> None:
    async with backend.relay(relayed()) as relay:
        async for chunk in relay.chunks():
            passed += [chunk]


async def read_relay(backend: Backend, *, stream: bool = True) -> bytes:
    async with backend.relay(relayed(stream=stream)) as relay:
        return b"".join([chunk async for chunk in relay.chunks()])


def limits() -> Limits:
    return Limits(event_bytes_max=100_000)


@cases()
async def test_a_chat_that_fails_at_once(reach, fault, kind, words):
    scripted = ScriptedBackend(Script().fails(fault))
    async with reach(scripted, timeouts=SHORT, limits=limits()) as backend:
        with pytest.raises(BackendFault, match=words) as caught:
            await read_chat(backend)
    assert (caught.value.kind, caught.value.backend) == (kind, "box")


@cases("status", "web")
async def test_a_chat_that_fails_in_mid_answer_gives_what_came_first(reach, fault, kind, words):
    scripted = ScriptedBackend(Script().says("one two three").breaks(fault, after=2))
    heard: list[ChatChunk] = []
    async with reach(scripted, timeouts=SHORT, limits=limits()) as backend:
        with pytest.raises(BackendFault, match=words) as caught:
            await hear(backend, heard)
    assert "".join(chunk.content for chunk in heard) == "one two"
    # A server that was reached before its connection was reset did not finish its answer.
    assert caught.value.kind == ("broken" if fault.manner == "reset" else kind)


@cases("garbage", "truncated", "comments", "empty")  # A relay does not look into events.
async def test_a_streamed_relay_that_fails_at_once(reach, fault, kind, words):
    scripted = ScriptedBackend(Script().fails(fault))
    async with reach(scripted, timeouts=SHORT, limits=limits()) as backend:
        with pytest.raises(BackendFault, match=words) as caught:
            await read_relay(backend)
    assert (caught.value.kind, caught.value.backend) == (kind, "box")


@cases("garbage", "truncated", "one long", "error event", "stall", "comments", "empty")
async def test_a_whole_relay_that_fails(reach, fault, kind, words):
    short = Timeouts(call_timeout_s=0.2)
    scripted = ScriptedBackend(Script().fails(fault))
    async with reach(scripted, timeouts=short) as backend:
        with pytest.raises(BackendFault, match=words) as caught:
            await read_relay(backend, stream=False)
    assert (caught.value.kind, caught.value.backend) == (kind, "box")


async def test_an_error_in_mid_relay_is_not_passed_on_but_raised(reach):
    fault = faults.error_event("engine died")
    scripted = ScriptedBackend(Script().says("one two").breaks(fault, after=1))
    passed: list[bytes] = []
    async with reach(scripted) as backend:
        with pytest.raises(BackendFault, match="engine died"):
            await pass_on(backend, passed)
    assert b"one" in b"".join(passed)
    assert b"engine died" not in b"".join(passed)
    assert b"[DONE]" not in b"".join(passed)


async def test_a_relay_that_ends_too_early_is_a_fault(reach):
    scripted = ScriptedBackend(Script().says("one").breaks(faults.garbage(b""), after=1))
    async with reach(scripted) as backend:
        with pytest.raises(BackendFault, match="finish_reason"):
            await read_relay(backend)


async def test_a_chat_that_ends_too_early_is_a_fault(reach):
    scripted = ScriptedBackend(Script().says("one").breaks(faults.garbage(b""), after=1))
    async with reach(scripted) as backend:
        with pytest.raises(BackendFault, match="finish_reason"):
            await read_chat(backend)


async def test_done_does_not_make_an_answer_whole(reach):
    fault = faults.garbage(b"data: [DONE]\n\n")
    scripted = ScriptedBackend(Script().says("one").breaks(fault, after=1))
    async with reach(scripted) as backend:
        with pytest.raises(BackendFault, match="finish_reason"):
            await read_chat(backend)


async def test_a_text_that_speaks_of_errors_is_none(reach):
    scripted = ScriptedBackend(Script().says('He said "error" and {"error": 1}'))
    async with reach(scripted) as backend:
        assert b"He" in await read_relay(backend)


async def test_a_text_that_is_the_word_error_is_none(reach):
    scripted = ScriptedBackend(Script().says("x").in_pieces("error", " [DONE]", "."))
    async with reach(scripted) as backend:
        passed = await read_relay(backend)
    assert passed.endswith(b"data: [DONE]\n\n")
    assert b'"content":"error"' in passed
    assert b'"content":"."' in passed


async def test_a_server_that_is_not_there_is_unreachable(reach):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
        async with reach(url) as backend:
            with pytest.raises(BackendFault, match="is it running") as caught:
                await read_chat(backend)
    assert caught.value.kind == "unreachable"


async def test_a_name_that_nobody_knows_is_unreachable(reach):
    async with reach("http://no-such-host.invalid") as backend:
        with pytest.raises(BackendFault) as caught:
            await backend.models()
    assert caught.value.kind == "unreachable"


async def test_the_wait_that_a_server_asks_for_is_kept(reach):
    fault = faults.status(429, "slow down", retry_after_s=7)
    async with reach(ScriptedBackend(Script().fails(fault))) as backend:
        with pytest.raises(BackendFault) as caught:
            await read_chat(backend)
    assert caught.value.retry_after_s == 7


async def test_a_status_in_the_place_of_a_code_is_no_code(reach):
    async with reach(ScriptedBackend(Script().fails(faults.status(400, "bad")))) as backend:
        with pytest.raises(BackendFault) as caught:
            await read_chat(backend)
    assert (caught.value.code, caught.value.status) == (None, 400)


async def test_a_prompt_that_is_too_long_has_openai_s_code(reach):
    fault = faults.status(400, "This model's maximum context length is 2048 tokens.")
    async with reach(ScriptedBackend(Script().fails(fault))) as backend:
        with pytest.raises(BackendFault) as caught:
            await read_chat(backend)
    assert caught.value.code == "context_length_exceeded"


async def test_a_path_that_is_not_served_says_so(reach):
    async with ScriptedBackend().serve() as url, reach(url + "/elsewhere") as backend:
        with pytest.raises(BackendFault, match="check that its URL ends") as caught:
            await read_chat(backend)
    assert caught.value.kind == "unsupported"
    assert "127.0.0.1" not in caught.value.message


async def test_the_words_of_a_server_about_a_key_are_not_repeated(reach):
    fault = faults.status(401, "Incorrect API key provided: sk-abcdefgh")
    async with reach(ScriptedBackend(Script().fails(fault))) as backend:
        with pytest.raises(BackendFault) as caught:
            await read_chat(backend)
    assert "sk-abcdefgh" not in str(caught.value)


async def test_a_redirect_is_not_followed(reach, answering):
    target = ScriptedBackend(Script().says("Hi"))
    async with target.serve() as url:
        answer = f"HTTP/1.1 307 Go\r\nLocation: {url}/chat/completions\r\nContent-Length: 0\r\n\r\n"
        async with answering(answer.encode()) as server, reach(server.url) as backend:
            with pytest.raises(BackendFault, match="redirects to"):
                await read_chat(backend)
    assert target.chats == []


async def test_what_is_no_http_is_broken(reach, answering):
    async with answering(b"SSH-2.0-OpenSSH_9.2\r\n\r\n") as server, reach(server.url) as backend:
        with pytest.raises(BackendFault, match="not valid HTTP") as caught:
            await read_chat(backend)
    assert caught.value.kind == "broken"


async def test_a_whole_answer_over_the_limit_is_a_fault(reach):
    scripted = ScriptedBackend(Script().says("x" * 5000))
    async with reach(scripted, limits=Limits(answer_bytes_max=2000)) as backend:
        with pytest.raises(BackendFault, match="answer_bytes_max"):
            await read_relay(backend, stream=False)


async def test_a_streamed_answer_over_the_limit_is_a_fault(reach):
    scripted = ScriptedBackend(Script().says("x" * 5000).cut_by(10))
    async with reach(scripted, limits=Limits(stream_bytes_max=20_000)) as backend:
        with pytest.raises(BackendFault, match="stream_bytes_max") as caught:
            await read_chat(backend)
    assert caught.value.kind == "broken"


async def test_a_whole_answer_that_breaks_off_is_a_fault(reach):
    fault = ScriptedFault(
        manner="raw_body", kind="broken", message="", data=b'{"id":"x","choices":[{"mess'
    )
    async with reach(ScriptedBackend(Script().fails(fault))) as backend:
        with pytest.raises(BackendFault, match="breaks off"):
            await read_relay(backend, stream=False)


async def test_a_stream_may_not_take_longer_than_a_call(reach):
    scripted = ScriptedBackend(Script().says("again ").without_end().pauses(0.01))
    async with reach(scripted, timeouts=Timeouts(call_timeout_s=0.2)) as backend:
        with pytest.raises(BackendFault, match="call_timeout_s") as caught:
            await read_chat(backend)
    assert caught.value.kind == "timeout"


@pytest.mark.parametrize("fault", [faults.babble(), faults.empty_chunks(), faults.stall()])
async def test_a_first_token_that_never_comes_is_waited_for_as_long_as_is_set(reach, fault):
    timeouts = Timeouts(first_byte_timeout_s=0.3, idle_timeout_s=0.1)
    async with reach(ScriptedBackend(Script().fails(fault)), timeouts=timeouts) as backend:
        with pytest.raises(BackendFault, match=r"0\.3 s") as caught:
            await read_chat(backend)
    assert "first_byte_timeout_s" in caught.value.message or "begin" in caught.value.message


@pytest.mark.parametrize("fault", [faults.babble(), faults.empty_chunks(), faults.stall()])
async def test_a_next_token_that_never_comes_is_waited_for_as_long_as_is_set(reach, fault):
    timeouts = Timeouts(first_byte_timeout_s=60, idle_timeout_s=0.1)
    scripted = ScriptedBackend(Script().says("one two three").breaks(fault, after=2))
    async with reach(scripted, timeouts=timeouts) as backend:
        with pytest.raises(BackendFault, match="idle_timeout_s"):
            await read_chat(backend)


@pytest.mark.parametrize(
    "script",
    [
        Script().says("x").thinks("a b c d e f g h"),
        Script().calls(tool("f", '{"a": 1234}')).cut_by(1),
    ],
)
async def test_reasoning_and_calls_are_signs_of_life(reach, script):
    timeouts = Timeouts(first_byte_timeout_s=1.0, idle_timeout_s=0.3)
    async with reach(ScriptedBackend(script.pauses(0.05)), timeouts=timeouts) as backend:
        chunks = await read_chat(backend)
    assert any(chunk.finish_reason for chunk in chunks)


async def test_a_reader_who_takes_his_time_is_not_taken_for_a_silent_server(reach):
    timeouts = Timeouts(first_byte_timeout_s=0.2, idle_timeout_s=0.2)
    scripted = ScriptedBackend(Script().says("one two three four five").pauses(0.02))
    heard = ""
    async with reach(scripted, timeouts=timeouts) as backend:
        async for batch in backend.chat(asked()):
            heard += "".join(chunk.content for chunk in batch)
            await asyncio.sleep(0.3)
    assert heard == "one two three four five"


async def test_a_stream_that_stalls_before_its_first_byte_times_out(reach):
    turn = Turn(fault=faults.stall(), fault_after=BEFORE_HEADERS)
    async with reach(ScriptedBackend(Script().then(turn)), timeouts=SHORT) as backend:
        with pytest.raises(BackendFault, match="begin to answer") as caught:
            await read_chat(backend)
    assert caught.value.kind == "timeout"


async def test_what_is_no_list_of_models_is_broken(reach):
    scripted = ScriptedBackend()
    scripted.faults["models"] = ScriptedFault(
        manner="raw_body", kind="broken", message="", data=b'{"models":[]}'
    )
    async with reach(scripted) as backend:
        with pytest.raises(BackendFault, match="no list of models") as caught:
            await backend.models()
    assert caught.value.kind == "broken"
