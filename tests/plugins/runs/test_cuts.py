"""A delta that is cut anywhere adds up to the same."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from famulus_runs.cuts import Delta, cut, delta_of, head, told_apart
from famulus_runs.log import added
from famulus_schemas.deltas import MessageDeltaEvent
from famulus_schemas.messages import Message, RefusalContentBlock, Text, TextContentBlock
from famulus_schemas.steps import (
    FunctionCallWithOutput,
    FunctionToolCall,
    RunStep,
    ToolCallsStepDetails,
)

words = st.text("ab{}", max_size=4)


@st.composite
def messages(draw: Any) -> Message:
    parts: list[Any] = [
        TextContentBlock(text=Text(value=draw(words))),
        RefusalContentBlock(refusal=draw(words)),
    ]
    return Message(
        id="msg_1",
        created_at=1,
        thread_id="thread_1",
        role="assistant",
        status="in_progress",
        content=parts[: draw(st.integers(0, 2))],
    )


@st.composite
def steps(draw: Any) -> RunStep:
    calls = [
        FunctionToolCall(
            id=f"call_{number}",
            function=FunctionCallWithOutput(name=f"f{number}", arguments=arguments, output=None),
        )
        for number, arguments in enumerate(draw(st.lists(words, max_size=4)))
    ]
    return RunStep(
        id="step_1",
        created_at=1,
        assistant_id="asst_1",
        thread_id="thread_1",
        run_id="run_1",
        type="tool_calls",
        status="in_progress",
        step_details=ToolCallsStepDetails(tool_calls=list(calls)),
    )


def texts(*deltas: Delta) -> dict[int, str]:
    """What deltas add up to, by the index of the part or call."""
    found: dict[int, str] = {}
    for delta in deltas:
        if isinstance(delta, MessageDeltaEvent):
            parts: Any = delta.delta.content or ()
            told = [(p.index, p.text.value if hasattr(p, "text") else p.refusal) for p in parts]
        else:
            calls: Any = delta.delta.step_details.tool_calls  # type: ignore[union-attr]
            told = [
                (c.index, "|".join(t for t in (c.id, c.function.name) if t) + c.function.arguments)
                for c in calls
            ]
        for index, text in told:
            found[index] = found.get(index, "") + text
    return {index: text for index, text in found.items() if text}


@given(st.one_of(messages(), steps()), st.integers(0, 20))
def test_the_head_and_the_rest_of_an_item_are_the_whole(item: Any, size: int) -> None:
    whole = delta_of(item)
    assert whole is not None
    first, rest = head(whole, size), cut(whole, size)
    assert texts(first, *rest) == texts(whole)
    assert added(first) == min(size, added(whole))
    assert added(first) + sum(map(added, rest)) == added(whole)


@given(messages(), st.lists(st.integers(0, 20), max_size=4))
def test_cut_again_and_again_it_is_still_the_same(message: Message, places: list[int]) -> None:
    whole = delta_of(message)
    assert whole is not None
    pieces: list[Delta] = []
    at = 0
    for place in sorted(places):
        pieces += [head(part, place - at) for part in cut(whole, at)]
        at = place
    pieces += cut(whole, at)
    assert texts(*pieces) == texts(whole)


def test_nothing_is_left_of_a_delta_that_was_had() -> None:
    message = Message(
        id="msg_1",
        created_at=1,
        thread_id="thread_1",
        role="assistant",
        status="in_progress",
        content=[TextContentBlock(text=Text(value="abc"))],
    )
    whole = delta_of(message)
    assert whole is not None
    assert cut(whole, 3) == []
    assert cut(whole, 0) == [whole]


@given(steps())
def test_calls_that_are_told_apart_are_the_same_and_begin_without_arguments(item: Any) -> None:
    whole = delta_of(item)
    assert whole is not None
    parts = told_apart(whole)
    assert texts(*parts) == texts(whole)
    assert sum(map(added, parts)) == added(whole)
    told: Any = [part.delta.step_details.tool_calls for part in parts]  # type: ignore[union-attr]
    assert all(not call.function.arguments for calls in told for call in calls if call.id)
