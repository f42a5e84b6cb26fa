"""A model's chunks, with the calls in its text made calls, and everything else as it came."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Sequence

import pytest

from famulus_runs.textual_calls import with_textual_calls
from famulus_schemas.inference import ChatChunk, FinishReason, TokenUsage, ToolCallDelta

pytestmark = pytest.mark.anyio

Batch = Sequence[ChatChunk]

CALL = '{"name": "get", "arguments": {"a": 1}}'
USAGE = TokenUsage(prompt_tokens=1, completion_tokens=2, total_tokens=3)


def says(text: str, **fields: object) -> ChatChunk:
    return ChatChunk(content=text, **fields)  # type: ignore[arg-type]


def ends(reason: FinishReason = "stop") -> ChatChunk:
    return ChatChunk(finish_reason=reason)


def native(index: int = 0, name: str | None = "get", arguments: str = "{}") -> ChatChunk:
    delta = ToolCallDelta(index=index, id="call_1", name=name, arguments=arguments)
    return ChatChunk(tool_calls=(delta,))


def textual(index: int = 0, arguments: str = '{"a": 1}') -> ChatChunk:
    return ChatChunk(tool_calls=(ToolCallDelta(index=index, name="get", arguments=arguments),))


async def answer(*batches: Batch) -> AsyncGenerator[Batch, None]:
    for batch in batches:
        yield batch


def reading(told: AsyncIterator[Batch]) -> AsyncGenerator[Batch, None]:
    return with_textual_calls(told, names=["get"], lookahead_chars=64, call_chars_max=1_000)


async def chunks(*batches: Batch) -> list[ChatChunk]:
    return [chunk async for batch in reading(answer(*batches)) for chunk in batch]


async def test_an_answer_without_calls_is_passed_on_batch_by_batch() -> None:
    batches = [
        [ChatChunk(reasoning="hm")],
        [says("Hello"), says(" there")],
        [ChatChunk(refusal="no")],
        [ends()],
        [ChatChunk(usage=USAGE)],
    ]
    assert [list(batch) async for batch in reading(answer(*batches))] == batches


async def test_a_call_written_as_text_becomes_a_call() -> None:
    found = await chunks([says("Well. <tool_")], [says(f"call>{CALL}</tool_call>")], [ends()])
    assert found == [says("Well. "), textual(), ends("tool_calls")]


async def test_calls_written_as_text_are_counted() -> None:
    found = await chunks([says(f"{CALL};{CALL}")], [ends()])
    assert found == [textual(0), textual(1), ends("tool_calls")]


async def test_what_is_said_after_a_call_is_dropped() -> None:
    found = await chunks([says(CALL)], [says("\nThat"), says(" was it.")], [ends()])
    assert found == [textual(), ends("tool_calls")]


async def test_what_was_held_back_goes_on_before_the_end() -> None:
    assert await chunks([says("a <tool")], [ends()]) == [says("a "), says("<tool"), ends()]


async def test_an_answer_that_ends_without_a_reason_loses_nothing() -> None:
    assert await chunks([says("a <tool")]) == [says("a "), says("<tool")]
    assert await chunks([says(CALL[:-1])]) == [textual(arguments='{"a":1}')]


async def test_a_call_that_was_cut_off_is_text() -> None:
    assert await chunks([says(CALL[:-1])], [ends("length")]) == [says(CALL[:-1]), ends("length")]


async def test_text_and_end_in_one_chunk_are_both_read() -> None:
    last = says(CALL[20:], finish_reason="stop", usage=USAGE)
    found = await chunks([says(CALL[:20])], [last])
    assert found == [textual(), ChatChunk(finish_reason="tool_calls", usage=USAGE)]


async def test_a_call_that_the_server_parsed_is_passed_on() -> None:
    batches = [[native(arguments='{"b"')], [native(name=None, arguments=":1}")]]
    assert await chunks(*batches, [ends("tool_calls")]) == [
        *batches[0],
        *batches[1],
        ends("tool_calls"),
    ]


async def test_blank_lines_before_a_parsed_call_are_dropped() -> None:
    assert await chunks([says("\n\n")], [native()]) == [native()]
    assert await chunks([says("Look:\n\n")], [native()]) == [says("Look:\n\n"), native()]


async def test_an_answer_of_blank_lines_stays_one() -> None:
    assert await chunks([says("\n")], [says("\n")], [ends()]) == [says("\n\n"), ends()]


async def test_text_that_was_held_back_comes_before_a_parsed_call() -> None:
    assert await chunks([says("a {"), native()]) == [says("a {"), native()]
    assert await chunks([says("{"), native()]) == [says("{"), native()]


async def test_nothing_is_read_out_of_text_after_a_parsed_call() -> None:
    batches = [native()], [says(CALL)], [ends("tool_calls")]
    assert await chunks(*batches) == [native(), says(CALL), ends("tool_calls")]


async def test_parsed_calls_are_counted_after_written_ones() -> None:
    found = await chunks([says(f"<tool_call>{CALL}</tool_call>")], [native()], [ends()])
    assert found == [textual(0), native(1), ends("tool_calls")]


async def test_reasoning_is_not_looked_at() -> None:
    thinking = ChatChunk(reasoning=f"<tool_call>{CALL}</tool_call>")
    assert await chunks([thinking], [ends()]) == [thinking, ends()]


async def test_closing_it_closes_the_models_answer() -> None:
    left = False

    async def endless() -> AsyncGenerator[Batch, None]:
        nonlocal left
        try:
            while True:
                yield [says("more")]
        finally:
            left = True

    told = reading(endless())
    assert await anext(told) == [says("more")]
    assert not left
    await told.aclose()
    assert left
