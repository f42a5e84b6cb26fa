"""A scripted backend does what its script says, in this process and over HTTP."""

from __future__ import annotations

import asyncio
import base64
import struct
from collections.abc import AsyncIterator, Callable, Sequence

import aiohttp
import msgspec
import openai
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
from famulus_schemas.inference import (
    BackendFault,
    ChatChunk,
    ChatRequest,
    CountsTokens,
    EmbedsTexts,
    FaultKind,
    PromptMessage,
)

pytestmark = pytest.mark.anyio


def asked(text: str = "Hi", model: str = "scripted") -> ChatRequest:
    return ChatRequest(model=model, messages=(PromptMessage(role="user", content=text),))


async def played(backend: ScriptedBackend, text: str = "Hi") -> list[ChatChunk]:
    return [chunk for batch in [b async for b in backend.chat(asked(text))] for chunk in batch]


def said(chunks: Sequence[ChatChunk]) -> str:
    return "".join(chunk.content for chunk in chunks)


class Stream:
    """An answer read at the wire."""

    def __init__(self) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.data = b""
        self.error: Exception | None = None

    @property
    def events(self) -> list[str]:
        frames = self.data.decode().split("\n\n")
        return [frame.removeprefix("data: ") for frame in frames if frame]


async def fetched(
    base_url: str, *, stream: bool = True, timeout_s: float = 10, **fields: object
) -> Stream:
    body = {"model": "scripted", "messages": [{"role": "user", "content": "Hi"}], "stream": stream}
    seen = Stream()
    timeout = aiohttp.ClientTimeout(total=timeout_s)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        try:
            async with session.post(f"{base_url}/chat/completions", json=body | fields) as response:
                seen.status = response.status
                seen.headers = {name.lower(): value for name, value in response.headers.items()}
                async for data in response.content.iter_any():
                    seen.data += data
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            seen.error = error
    return seen


@pytest.fixture
async def client() -> AsyncIterator[Callable[[str], openai.AsyncOpenAI]]:
    made: list[openai.AsyncOpenAI] = []

    def make(base_url: str) -> openai.AsyncOpenAI:
        made.append(openai.AsyncOpenAI(base_url=base_url, api_key="sk-test", max_retries=0))
        return made[-1]

    yield make
    for one in made:
        await one.close()


# -- in this process -----------------------------------------------------------------------------


async def test_it_answers_turn_by_turn() -> None:
    backend = ScriptedBackend(Script().says("One.").says("Two."))
    assert [said(await played(backend)), said(await played(backend))] == ["One.", "Two."]


async def test_text_streams_a_word_at_a_time() -> None:
    chunks = await played(ScriptedBackend(Script().says("Hello there, you  two\n")))
    assert [chunk.content for chunk in chunks[:-1]] == ["Hello", " there,", " you", "  two", "\n"]


async def test_the_last_chunk_has_finish_reason_and_usage() -> None:
    last = (await played(ScriptedBackend(Script().says("a b c")), "one two"))[-1]
    assert last.finish_reason == "stop"
    assert last.usage is not None
    assert (last.usage.prompt_tokens, last.usage.completion_tokens) == (2, 3)
    assert last.usage.total_tokens == 5


async def test_calls_end_with_tool_calls_and_have_ids() -> None:
    script = Script().calls(tool("a", {"x": 1}), tool("b", '{"broken'))
    chunks = await played(ScriptedBackend(script))
    deltas = [delta for chunk in chunks for delta in chunk.tool_calls]
    assert [(d.index, d.id, d.name, d.arguments) for d in deltas] == [
        (0, "call_1_0", "a", '{"x":1}'),
        (1, "call_1_1", "b", '{"broken'),
    ]
    assert chunks[-1].finish_reason == "tool_calls"


async def test_arguments_are_cut_in_pieces_and_interleaved() -> None:
    script = Script().calls(tool("a", '{"x":1}'), tool("b", "{}")).cut_by(3).interleaved()
    deltas = [d for chunk in await played(ScriptedBackend(script)) for d in chunk.tool_calls]
    assert [(d.index, d.name, d.arguments) for d in deltas] == [
        (0, "a", ""),
        (1, "b", ""),
        (0, None, '{"x'),
        (1, None, "{}"),
        (0, None, '":1'),
        (0, None, "}"),
    ]


async def test_text_is_cut_as_asked() -> None:
    script = Script().says("abcde").cut_by(2).then(Turn(text="xyz", pieces=("x", "yz")))
    backend = ScriptedBackend(script.says("").in_pieces("p", "q"))
    cuts = [[chunk.content for chunk in (await played(backend))[:-1]] for _ in range(3)]
    assert cuts == [["ab", "cd", "e"], ["x", "yz"], ["p", "q"]]


async def test_chunks_come_together_where_the_script_says_so() -> None:
    backend = ScriptedBackend(Script().says("a b c").together(2))
    sizes = [len(batch) async for batch in backend.chat(asked())]
    assert sizes == [2, 1, 1]


async def test_finish_reason_usage_refusal_and_reasoning_are_as_scripted() -> None:
    script = Script().refuses("No.").thinks("Hmm.").finishes("content_filter").uses(7, 2, cached=5)
    chunks = await played(ScriptedBackend(script))
    assert [chunk.reasoning for chunk in chunks[:1]] == ["Hmm."]
    assert [chunk.refusal for chunk in chunks[1:2]] == ["No."]
    assert chunks[-1].finish_reason == "content_filter"
    assert chunks[-1].usage is not None
    assert (chunks[-1].usage.total_tokens, chunks[-1].usage.cached_tokens) == (9, 5)


async def test_usage_can_be_missing() -> None:
    chunks = await played(ScriptedBackend(Script().says("Hi").without_usage()))
    assert chunks[-1].usage is None
    assert chunks[-1].finish_reason == "stop"


async def test_a_function_can_be_the_script() -> None:
    backend = ScriptedBackend(lambda request: f"You said {request.messages[-1].content}")
    assert said(await played(backend, "boo")) == "You said boo"


async def test_the_last_turn_can_repeat() -> None:
    backend = ScriptedBackend(Script().says("first").says("again").forever())
    assert [said(await played(backend)) for _ in range(4)] == ["first"] + ["again"] * 3


async def test_a_request_too_many_fails_and_says_so() -> None:
    backend = ScriptedBackend(Script().says("only"))
    await played(backend)
    with pytest.raises(BackendFault, match="the script has 1 turns, and request 2 came"):
        await played(backend)


async def test_a_new_script_replaces_what_was_left() -> None:
    backend = ScriptedBackend(Script().says("old").says("older"))
    await played(backend)
    backend.play(Script().says("new"))
    assert said(await played(backend)) == "new"


async def test_an_unknown_model_uses_up_no_turn() -> None:
    backend = ScriptedBackend(Script().says("mine"))
    with pytest.raises(BackendFault) as caught:
        await anext(backend.chat(asked(model="other")))
    assert caught.value.kind == "not_found"
    assert said(await played(backend)) == "mine"


async def test_it_waits_for_an_event_between_two_chunks() -> None:
    gate = asyncio.Event()
    answer = ScriptedBackend(Script().says("a b c").waits_for(gate, after=2)).chat(asked())
    before = [await anext(answer), await anext(answer)]
    third = asyncio.ensure_future(anext(answer))
    for _ in range(10):
        await asyncio.sleep(0)
    assert said([chunk for batch in before for chunk in batch]) == "a b"
    assert not third.done()
    gate.set()
    assert said(await third) == " c"


async def test_chunks_that_come_together_are_not_held_back_by_a_wait() -> None:
    gate = asyncio.Event()
    backend = ScriptedBackend(Script().says("a b c").together(3).waits_for(gate, after=1))
    answer = backend.chat(asked())
    assert said(await anext(answer)) == "a"
    gate.set()
    assert said(await anext(answer)) == " b c"


async def test_pauses_go_through_the_injected_sleep() -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    await played(ScriptedBackend(Script().says("a b").pauses(0.5), sleep=sleep))
    assert slept == [0.5, 0.5]


async def test_it_fails_instead_of_an_answer_and_then_goes_on() -> None:
    backend = ScriptedBackend(Script().fails(faults.status(429, retry_after_s=2)).says("ok"))
    with pytest.raises(BackendFault) as caught:
        await played(backend)
    assert (caught.value.kind, caught.value.status) == ("overloaded", 429)
    assert caught.value.retry_after_s == 2
    assert said(await played(backend)) == "ok"


async def test_it_fails_between_two_chunks() -> None:
    backend = ScriptedBackend(Script().says("a b c").breaks(faults.hang_up(), after=2))
    answer = backend.chat(asked())
    assert said([*await anext(answer), *await anext(answer)]) == "a b"
    with pytest.raises(BackendFault) as caught:
        await anext(answer)
    assert caught.value.kind == "broken"
    assert not backend.chats[0].closed_early


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (faults.status(400), "refused"),
        (faults.status(401), "refused"),
        (faults.status(404), "not_found"),
        (faults.status(500), "broken"),
        (faults.status(503), "overloaded"),
        (faults.reset(), "unreachable"),
        (faults.stall(), "timeout"),
        (faults.error_body(), "broken"),
        (faults.error_event(), "broken"),
        (faults.kind("unsupported"), "unsupported"),
    ],
)
async def test_each_fault_has_its_kind(fault: ScriptedFault, kind: str) -> None:
    with pytest.raises(BackendFault) as caught:
        await played(ScriptedBackend(Script().fails(fault)))
    assert caught.value.kind == kind


async def test_it_knows_that_the_reader_left() -> None:
    backend = ScriptedBackend(Script().says("tick").without_end())
    answer = backend.chat(asked())
    for _ in range(50):
        await anext(answer)
    await answer.aclose()
    (request,) = backend.chats
    assert request.closed_early
    assert request.chunks_sent == 50


async def test_a_reader_of_the_whole_answer_did_not_leave() -> None:
    backend = ScriptedBackend(Script().says("a b"))
    await played(backend)
    (request,) = backend.chats
    assert not request.closed_early
    assert request.answered


async def test_it_keeps_what_it_was_asked() -> None:
    backend = ScriptedBackend(Script().says("x"))
    await played(backend, "What?")
    (request,) = backend.chats
    assert request.body["messages"] == [{"role": "user", "content": "What?"}]
    assert request.chat.messages[0].content == "What?"


async def test_it_forgets_the_oldest_requests_past_its_limit() -> None:
    backend = ScriptedBackend(Script().says("x").forever(), kept_requests_max=2)
    for text in ("a", "b", "c"):
        await played(backend, text)
    assert [request.number for request in backend.chats] == [2, 3]


async def test_a_test_can_wait_for_a_request_and_for_its_end() -> None:
    backend = ScriptedBackend(Script().says("x").says("y"))
    second = asyncio.ensure_future(backend.arrived(2))
    await played(backend, "first")
    assert not second.done()
    await played(backend, "second")
    request = await second
    await request.ended()
    assert request.chat.messages[0].content == "second"


async def test_waiting_for_a_request_that_never_comes_has_an_end() -> None:
    with pytest.raises(TimeoutError):
        await ScriptedBackend().arrived(within_s=0.01)


async def test_embeddings_depend_on_the_text_alone() -> None:
    backend = ScriptedBackend(embedding_size=8)
    assert isinstance(backend, EmbedsTexts)
    one, two, again = await backend.embed("scripted", ["x", "y", "x"])
    assert one == again != two
    assert len(one) == 8
    assert sum(value * value for value in one) == pytest.approx(1)
    assert len((await backend.embed("scripted", ["x"], 5))[0]) == 5


async def test_tokens_are_words() -> None:
    backend = ScriptedBackend()
    assert isinstance(backend, CountsTokens)
    assert await backend.count_tokens("scripted", ["a b c", ""]) == [3, 0]


async def test_other_endpoints_fail_as_long_as_they_are_told_to() -> None:
    backend = ScriptedBackend()
    backend.faults["models"] = faults.status(503)
    with pytest.raises(BackendFault):
        await backend.models()
    del backend.faults["models"]
    assert [card.id for card in await backend.models()] == ["scripted"]


def test_a_script_never_changes() -> None:
    first = Script().says("a")
    first.finishes("length")
    first.says("b")
    assert first.turns == (Turn(text="a"),)


def test_describing_a_turn_that_is_not_there_is_an_error() -> None:
    with pytest.raises(ValueError, match="no turn yet"):
        Script().cut_by(2)


# -- over HTTP -----------------------------------------------------------------------------------


async def test_the_openai_client_reads_a_whole_answer(
    client: Callable[[str], openai.AsyncOpenAI],
) -> None:
    backend = ScriptedBackend(Script().says("Hello there").calls(tool("look", {"city": "Oslo"})))
    async with backend.serve() as base_url:
        chats = client(base_url).chat.completions
        messages = [{"role": "user", "content": "Hi"}]
        text = await chats.create(model="scripted", messages=messages)  # type: ignore[arg-type]
        call = await chats.create(model="scripted", messages=messages)  # type: ignore[arg-type]
    assert text.choices[0].message.content == "Hello there"
    assert text.usage is not None
    assert text.usage.total_tokens == 3
    assert call.choices[0].finish_reason == "tool_calls"
    called = [one.to_dict()["function"] for one in call.choices[0].message.tool_calls or []]
    assert called == [{"name": "look", "arguments": '{"city":"Oslo"}'}]


async def test_the_openai_client_reads_a_stream(
    client: Callable[[str], openai.AsyncOpenAI],
) -> None:
    backend = ScriptedBackend(Script().says("Hello there").and_calls(tool("f", '{"a":1}')))
    async with backend.serve() as base_url:
        stream = await client(base_url).chat.completions.create(
            model="scripted",
            messages=[{"role": "user", "content": "Hi"}],
            stream=True,
            stream_options={"include_usage": True},
        )
        chunks = [chunk async for chunk in stream]
    deltas = [chunk.choices[0].delta for chunk in chunks if chunk.choices]
    assert "".join(delta.content or "" for delta in deltas) == "Hello there"
    assert [d.tool_calls[0].function for d in deltas if d.tool_calls]
    assert chunks[-1].choices == []
    assert chunks[-1].usage is not None


async def test_usage_is_streamed_only_if_asked_for() -> None:
    async with ScriptedBackend(Script().says("Hi").forever()).serve() as base_url:
        without = await fetched(base_url)
        asked_for = await fetched(base_url, stream_options={"include_usage": True})
    assert not any('"usage"' in event for event in without.events)
    assert sum('"usage"' in event for event in asked_for.events) == 1
    assert without.events[-1] == asked_for.events[-1] == "[DONE]"


async def test_equal_scripts_give_equal_bytes() -> None:
    answers = []
    for _ in range(2):
        async with ScriptedBackend(Script().says("a b c")).serve() as base_url:
            answers.append((await fetched(base_url)).data)
    assert answers[0] == answers[1]


async def test_a_whole_answer_has_no_tool_calls_key_unless_nulls_are_asked_for() -> None:
    async with ScriptedBackend(Script().says("a").says("b").with_nulls()).serve() as base_url:
        plain = msgspec.json.decode((await fetched(base_url, stream=False)).data)
        nulls = msgspec.json.decode((await fetched(base_url, stream=False)).data)
    assert "tool_calls" not in plain["choices"][0]["message"]
    assert nulls["choices"][0]["message"]["tool_calls"] is None


async def test_the_wire_can_be_cut_inside_a_character() -> None:
    async with ScriptedBackend(
        Script().says("caf\u00e9 \U0001f600").in_writes_of(1)
    ).serve() as url:
        seen = await fetched(url)
    texts = [
        msgspec.json.decode(event)["choices"][0]["delta"].get("content", "")
        for event in seen.events[:-1]
    ]
    assert "".join(texts) == "caf\u00e9 \U0001f600"


async def test_headers_and_body_are_kept() -> None:
    backend = ScriptedBackend(Script().says("x"))
    async with backend.serve() as base_url:
        await fetched(base_url, temperature=0.5, vendor_field=[1])
    (request,) = backend.chats
    assert request.body["vendor_field"] == [1]
    assert request.chat.temperature == 0.5
    assert request.headers["content-type"] == "application/json"


async def test_it_sees_an_http_client_leave() -> None:
    backend = ScriptedBackend(Script().says("tick").without_end())
    async with backend.serve() as base_url:
        body = {"model": "scripted", "messages": [], "stream": True}
        async with (
            aiohttp.ClientSession() as session,
            session.post(f"{base_url}/chat/completions", json=body) as response,
        ):
            await response.content.readany()
            response.close()
        request = await backend.arrived()
        await request.ended()
    assert request.closed_early
    assert backend.open_chats == 0


async def test_it_sees_a_client_leave_that_waits_for_a_whole_answer() -> None:
    backend = ScriptedBackend(Script().says("never").waits_for(asyncio.Event()))
    async with backend.serve() as base_url:
        fetching = asyncio.ensure_future(fetched(base_url, stream=False))
        request = await backend.arrived()
        fetching.cancel()
        await request.ended()
    assert request.closed_early


@pytest.mark.parametrize("code", [400, 401, 404, 429, 500, 503])
@pytest.mark.parametrize("stream", [True, False])
async def test_a_status_comes_with_an_error_body(code: int, stream: bool) -> None:
    fault = faults.status(code, "Because.", retry_after_s=1.5)
    async with ScriptedBackend(Script().fails(fault)).serve() as base_url:
        seen = await fetched(base_url, stream=stream)
    assert seen.status == code
    assert seen.headers["retry-after"] == "1.5"
    assert msgspec.json.decode(seen.data)["error"]["message"] == "Because."
    assert msgspec.json.decode(seen.data)["error"]["code"] == code


async def test_an_error_can_hide_under_status_200() -> None:
    async with ScriptedBackend(Script().fails(faults.error_body("Dead."))).serve() as base_url:
        seen = await fetched(base_url)
    assert seen.status == 200
    assert msgspec.json.decode(seen.data)["error"]["message"] == "Dead."


async def test_an_error_event_ends_a_stream_with_done() -> None:
    script = Script().says("a b c").breaks(faults.error_event("Dead."), after=1)
    async with ScriptedBackend(script).serve() as base_url:
        seen = await fetched(base_url)
    assert seen.error is None
    assert len(seen.events) == 3
    assert '"content":"a"' in seen.events[0]
    assert msgspec.json.decode(seen.events[1])["error"]["message"] == "Dead."
    assert seen.events[2] == "[DONE]"


@pytest.mark.parametrize("fault", [faults.reset(), faults.hang_up()], ids=["reset", "hang_up"])
async def test_a_connection_is_cut_mid_stream(fault: ScriptedFault) -> None:
    gate = asyncio.Event()
    script = Script().says("a b c").waits_for(gate, after=1).breaks(fault, after=1)
    async with ScriptedBackend(script).serve() as base_url, aiohttp.ClientSession() as session:
        body = {"model": "scripted", "messages": [], "stream": True}
        async with session.post(f"{base_url}/chat/completions", json=body) as response:
            first = await response.content.readany()
            gate.set()
            with pytest.raises((aiohttp.ClientError, OSError)):
                await response.content.read()
    assert b'"content":"a"' in first


@pytest.mark.parametrize("fault", [faults.reset(), faults.hang_up()], ids=["reset", "hang_up"])
async def test_a_connection_is_cut_before_an_answer(fault: ScriptedFault) -> None:
    backend = ScriptedBackend(Script().fails(fault))
    async with backend.serve() as base_url:
        seen = await fetched(base_url)
    assert seen.status == 0
    assert isinstance(seen.error, aiohttp.ClientError | OSError)
    assert not backend.chats[0].closed_early


@pytest.mark.parametrize(
    ("script", "has_headers", "text"),
    [
        (Script().fails(faults.stall()), False, b""),
        (Script().says("a b").breaks(faults.stall()), True, b""),
        (Script().says("a b").breaks(faults.stall(), after=1), True, b'"content":"a"'),
    ],
    ids=["before headers", "before the first token", "between tokens"],
)
async def test_a_stalled_server_keeps_the_connection_until_the_client_leaves(
    script: Script, has_headers: bool, text: bytes
) -> None:
    backend = ScriptedBackend(script)
    async with backend.serve() as base_url:
        seen = await fetched(base_url, timeout_s=0.3)
        request = await backend.arrived()
        await request.ended()
    assert isinstance(seen.error, TimeoutError)
    assert (seen.status == 200) is has_headers
    assert text in seen.data
    assert b" b" not in seen.data
    assert request.closed_early


async def test_headers_can_wait_too() -> None:
    gate = asyncio.Event()
    backend = ScriptedBackend(Script().says("a").waits_for(gate, after=BEFORE_HEADERS))
    async with backend.serve() as base_url:
        fetching = asyncio.ensure_future(fetched(base_url))
        await backend.arrived()
        assert not fetching.done()
        gate.set()
        assert (await fetching).status == 200


async def test_garbage_comes_as_it_is() -> None:
    script = Script().says("a b").breaks(faults.garbage(b"\x00\xffjunk\n\n"), after=1)
    async with ScriptedBackend(script).serve() as base_url:
        seen = await fetched(base_url)
    assert seen.error is None
    assert seen.data.endswith(b"\x00\xffjunk\n\n")


async def test_a_stream_can_end_inside_a_character() -> None:
    async with ScriptedBackend(Script().fails(faults.truncated_utf8())).serve() as base_url:
        seen = await fetched(base_url)
    assert seen.error is None
    with pytest.raises(UnicodeDecodeError, match="unexpected end of data"):
        seen.data.decode()


async def test_a_line_can_be_oversized() -> None:
    async with ScriptedBackend(Script().fails(faults.oversized_line(300_000))).serve() as base_url:
        seen = await fetched(base_url)
    assert len(seen.data) > 300_000
    assert b"\n" not in seen.data


async def test_a_web_page_can_come_instead_of_json() -> None:
    async with ScriptedBackend(Script().fails(faults.wrong_content_type())).serve() as base_url:
        seen = await fetched(base_url)
    assert seen.status == 200
    assert seen.headers["content-type"] == "text/html"


async def test_done_can_be_missing() -> None:
    async with ScriptedBackend(Script().says("a").without_done()).serve() as base_url:
        seen = await fetched(base_url)
    assert seen.error is None
    assert '"finish_reason":"stop"' in seen.events[-1]


async def test_connections_are_refused_for_a_while() -> None:
    backend = ScriptedBackend(Script().says("back"))
    async with backend.serve() as base_url:
        async with backend.refusing():
            refused = await fetched(base_url)
        accepted = await fetched(base_url)
    assert isinstance(refused.error, aiohttp.ClientConnectorError)
    assert accepted.status == 200


async def test_refusing_cuts_open_streams() -> None:
    backend = ScriptedBackend(Script().says("a b").breaks(faults.stall(), after=1))
    async with backend.serve() as base_url:
        fetching = asyncio.ensure_future(fetched(base_url))
        await backend.arrived()
        async with backend.refusing():
            seen = await fetching
    assert isinstance(seen.error, aiohttp.ClientError | OSError)


async def test_a_wrong_key_is_refused() -> None:
    backend = ScriptedBackend(Script().says("x"), api_key="right")
    async with backend.serve() as base_url:
        seen = await fetched(base_url)
    assert seen.status == 401
    assert not backend.chats


async def test_a_script_that_is_over_is_a_500_that_says_so() -> None:
    async with ScriptedBackend().serve() as base_url:
        seen = await fetched(base_url)
    assert seen.status == 500
    assert b"the script has 0 turns" in seen.data


async def test_an_unknown_model_is_a_404_over_http() -> None:
    async with ScriptedBackend(Script().says("x")).serve() as base_url:
        seen = await fetched(base_url, model="other")
    assert seen.status == 404
    assert msgspec.json.decode(seen.data)["error"]["type"] == "NotFoundError"


async def test_the_openai_client_reads_models_completions_and_embeddings(
    client: Callable[[str], openai.AsyncOpenAI],
) -> None:
    backend = ScriptedBackend(Script().says("once upon"), embedding_size=4)
    async with backend.serve() as base_url:
        models = [model.id async for model in client(base_url).models.list()]
        text = await client(base_url).completions.create(model="scripted", prompt="Tell")
        vectors = await client(base_url).embeddings.create(model="scripted", input=["x", "y"])
    assert models == ["scripted"]
    assert text.choices[0].text == "once upon"
    assert vectors.data[1].embedding == pytest.approx(backend.vector("y"), abs=1e-6)


async def test_embeddings_come_as_base64_if_asked_for() -> None:
    backend = ScriptedBackend(embedding_size=4)
    async with backend.serve() as base_url, aiohttp.ClientSession() as session:
        body = {"model": "scripted", "input": "x", "encoding_format": "base64"}
        async with session.post(f"{base_url}/embeddings", json=body) as response:
            packed = (await response.json())["data"][0]["embedding"]
    assert struct.unpack("<4f", base64.b64decode(packed)) == pytest.approx(backend.vector("x"))


async def _got(url: str) -> tuple[int, str]:
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        return response.status, await response.text()


async def test_health_version_and_metrics_are_as_of_vllm() -> None:
    backend = ScriptedBackend()
    backend.gauges["vllm:num_requests_waiting"] = 3
    async with backend.serve() as base_url:
        root = base_url.removesuffix("/v1")
        metrics = await _got(f"{root}/metrics")
        healthy = await _got(f"{root}/health")
        backend.faults["health"] = faults.status(503)
        ill = await _got(f"{root}/health")
        unknown = await _got(f"{root}/nothing")
        version = await _got(f"{root}/version")
    assert 'vllm:num_requests_waiting{model_name="scripted"} 3' in metrics[1]
    assert (healthy[0], ill[0]) == (200, 503)
    assert unknown == (404, '{"detail":"Not Found"}')
    assert "version" in version[1]


async def test_it_tokenizes_texts_and_messages() -> None:
    async with ScriptedBackend().serve() as base_url, aiohttp.ClientSession() as session:
        url = base_url.removesuffix("/v1") + "/tokenize"
        counts = []
        for body in ({"prompt": "a b c"}, {"messages": [{"role": "user", "content": "d e"}]}):
            async with session.post(url, json={"model": "scripted", **body}) as response:
                counts.append((await response.json())["count"])
    assert counts == [3, 2]


async def test_two_servers_at_once_have_two_ports() -> None:
    one, two = ScriptedBackend(Script().says("1")), ScriptedBackend(Script().says("2"))
    async with one.serve() as first, two.serve() as second:
        answers = await asyncio.gather(
            *(fetched(url, stream=False) for url in (first, second)), return_exceptions=False
        )
    assert [msgspec.json.decode(a.data)["choices"][0]["message"]["content"] for a in answers] == [
        "1",
        "2",
    ]


async def test_a_function_can_answer_with_a_turn_or_a_script_of_one() -> None:
    answers: dict[str, Turn | Script] = {
        "turn": Turn(text="a turn"),
        "script": Script().says("a script"),
    }
    backend = ScriptedBackend(lambda request: answers[str(request.messages[-1].content)])
    assert said(await played(backend, "turn")) == "a turn"
    assert said(await played(backend, "script")) == "a script"


async def test_a_function_that_answers_with_several_turns_is_a_mistake() -> None:
    backend = ScriptedBackend(lambda request: Script().says("a").says("b"))
    with pytest.raises(ValueError, match="must be one turn, not 2"):
        await played(backend)


async def test_the_texts_of_message_parts_are_counted() -> None:
    backend = ScriptedBackend(Script().says("x"))
    parts = [
        {"type": "text", "text": "one two"},
        {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}},
    ]
    body = {"model": "scripted", "messages": [{"role": "user", "content": parts}]}
    async for batch in backend.chat(msgspec.convert(body, ChatRequest)):
        last = batch[-1]
    assert last.usage is not None
    assert last.usage.prompt_tokens == 2


async def test_a_fault_and_a_wait_past_the_end_come_at_the_end() -> None:
    gate = asyncio.Event()
    script = Script().says("a b").waits_for(gate, after=9).breaks(faults.hang_up(), after=9)
    answer = ScriptedBackend(script).chat(asked())
    assert said([*await anext(answer), *await anext(answer)]) == "a b"
    gate.set()
    with pytest.raises(BackendFault):
        await anext(answer)


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        ("overloaded", 503),
        ("refused", 400),
        ("not_found", 404),
        ("broken", 500),
        ("unsupported", 501),
    ],
)
async def test_a_kind_of_fault_is_a_status_over_http(kind: FaultKind, status: int) -> None:
    backend = ScriptedBackend(Script().fails(faults.kind(kind)).fails(faults.kind(kind)))
    async with backend.serve() as base_url:
        assert (await fetched(base_url)).status == status
    with pytest.raises(BackendFault) as caught:
        await played(backend)
    assert caught.value.kind == kind


async def test_unreachable_is_a_reset_and_timeout_a_stall_over_http() -> None:
    script = Script().fails(faults.kind("unreachable")).fails(faults.kind("timeout"))
    async with ScriptedBackend(script).serve() as base_url:
        reset = await fetched(base_url)
        stalled = await fetched(base_url, timeout_s=0.3)
    assert isinstance(reset.error, aiohttp.ClientError | OSError)
    assert not isinstance(reset.error, TimeoutError)
    assert isinstance(stalled.error, TimeoutError)


@pytest.mark.parametrize("fault", [faults.error_event(), faults.garbage(), faults.hang_up()])
async def test_a_whole_answer_fails_as_a_whole(fault: ScriptedFault) -> None:
    async with ScriptedBackend(Script().says("a b").breaks(fault, after=1)).serve() as base_url:
        seen = await fetched(base_url, stream=False)
    assert b'"content"' not in seen.data
    assert seen.status in (0, 200, 500)


@pytest.mark.parametrize("fault", [faults.status(503), faults.wrong_content_type()])
async def test_a_fault_that_comes_too_late_for_its_form_ends_the_stream(
    fault: ScriptedFault,
) -> None:
    async with ScriptedBackend(Script().says("a b").breaks(fault, after=1)).serve() as base_url:
        seen = await fetched(base_url)
    assert seen.status == 200
    assert b'"content":"a"' in seen.data
    assert b"scripted status 503" in seen.data or seen.data.endswith(b"</html>")


async def test_refusal_and_reasoning_go_over_http_whole_and_streamed() -> None:
    script = Script().refuses("No.").thinks("Hm.").forever()
    async with ScriptedBackend(script).serve() as base_url:
        whole = msgspec.json.decode((await fetched(base_url, stream=False)).data)
        streamed = await fetched(base_url)
    message = whole["choices"][0]["message"]
    assert (message["refusal"], message["reasoning"], message["content"]) == ("No.", "Hm.", None)
    deltas = [msgspec.json.decode(event)["choices"][0]["delta"] for event in streamed.events[:-1]]
    assert [delta.get("reasoning") for delta in deltas] == ["Hm.", None, None]
    assert [delta.get("refusal") for delta in deltas] == [None, "No.", None]


async def test_an_empty_answer_has_empty_content() -> None:
    async with ScriptedBackend(Script().says("")).serve() as base_url:
        whole = msgspec.json.decode((await fetched(base_url, stream=False)).data)
    assert whole["choices"][0]["message"]["content"] == ""


async def test_arguments_in_pieces_are_whole_again_over_http() -> None:
    script = Script().calls(tool("f", {"city": "Oslo"}), tool("g", {})).cut_by(3).forever()
    async with ScriptedBackend(script).serve() as base_url:
        whole = msgspec.json.decode((await fetched(base_url, stream=False)).data)
        streamed = await fetched(base_url)
    calls = whole["choices"][0]["message"]["tool_calls"]
    assert [call["function"]["arguments"] for call in calls] == ['{"city":"Oslo"}', "{}"]
    deltas = [msgspec.json.decode(event)["choices"][0]["delta"] for event in streamed.events[:-1]]
    parts = [delta["tool_calls"][0] for delta in deltas if "tool_calls" in delta]
    first = [part["function"]["arguments"] for part in parts if part["index"] == 0]
    assert "".join(first) == '{"city":"Oslo"}'
    assert len(first) > 2


async def posted(url: str, data: bytes) -> tuple[int, bytes]:
    async with aiohttp.ClientSession() as session, session.post(url, data=data) as response:
        return response.status, await response.read()


async def test_legacy_completions_stream_text() -> None:
    backend = ScriptedBackend(Script().says("once upon"))
    async with backend.serve() as base_url:
        body = b'{"model":"scripted","prompt":["Tell","me"],"stream":true}'
        _, data = await posted(f"{base_url}/completions", body)
    events = [msgspec.json.decode(part[6:]) for part in data.split(b"\n\n")[:-2]]
    assert [event["choices"][0]["text"] for event in events] == ["once", " upon", ""]
    assert {event["object"] for event in events} == {"text_completion"}
    assert backend.chats[0].endpoint == "completions"


async def test_a_body_that_is_no_chat_is_a_400() -> None:
    backend = ScriptedBackend()
    async with backend.serve() as base_url:
        bodies = (b"{broken", b'{"model":"scripted","messages":3}')
        answers = [await posted(f"{base_url}/chat/completions", body) for body in bodies]
    assert [status for status, _ in answers] == [400, 400]
    assert not backend.requests


async def test_a_body_over_the_limit_is_refused() -> None:
    backend = ScriptedBackend(Script().says("x"), body_bytes_max=100)
    async with backend.serve() as base_url:
        status, data = await posted(f"{base_url}/chat/completions", b" " * 101)
    assert status == 400
    assert b"larger than 100 bytes" in data


@pytest.mark.parametrize("endpoint", ["models", "embeddings", "tokenize", "metrics"])
async def test_each_endpoint_fails_as_told(endpoint: str) -> None:
    backend = ScriptedBackend()
    backend.faults[endpoint] = faults.status(503, "Later.")
    paths = {"tokenize": "/tokenize", "metrics": "/metrics"}
    async with backend.serve() as base_url:
        url = base_url.removesuffix("/v1") + paths.get(endpoint, f"/v1/{endpoint}")
        if endpoint in ("models", "metrics"):
            status, text = await _got(url)
        else:
            status, data = await posted(url, b'{"model":"scripted"}')
            text = data.decode()
    assert status == 503
    assert "Later." in text
    assert [request.endpoint for request in backend.requests] == [endpoint]


async def test_a_server_can_be_closed_while_it_refuses() -> None:
    backend = ScriptedBackend()
    serving, refusing = backend.serve(), backend.refusing()
    base_url = await serving.__aenter__()
    await refusing.__aenter__()
    await serving.__aexit__(None, None, None)
    await refusing.__aexit__(None, None, None)
    assert isinstance((await fetched(base_url)).error, aiohttp.ClientConnectorError)


async def test_only_a_server_can_refuse_connections() -> None:
    with pytest.raises(AssertionError, match="inside serve"):
        await ScriptedBackend().refusing().__aenter__()
