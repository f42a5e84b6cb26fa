"""A delta that is cut anywhere adds up to the same."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from tests.plugins.runs.added_up import add_entry

from famulus_runs.cuts import Delta, cut, delta_of, head, told_apart
from famulus_runs.log import added
from famulus_schemas.messages import (
    FilePath,
    FilePathAnnotation,
    ImageFile,
    ImageFileContentBlock,
    Message,
    RefusalContentBlock,
    Text,
    TextContentBlock,
)
from famulus_schemas.steps import (
    CodeInterpreterCall,
    CodeInterpreterImage,
    CodeInterpreterImageFile,
    CodeInterpreterLogs,
    CodeInterpreterToolCall,
    FileSearchCall,
    FileSearchToolCall,
    FunctionCallWithOutput,
    FunctionToolCall,
    RunStep,
    ToolCallsStepDetails,
)

words = st.text("ab{}", max_size=4)
some_words = st.text("ab{}", min_size=1, max_size=4)


@st.composite
def messages(draw: Any) -> Message:
    text = draw(some_words)
    ends = [end for end in range(1, len(text) + 1) if draw(st.booleans())]
    annotations = [
        FilePathAnnotation(
            text=text[end - 1 : end],
            file_path=FilePath(file_id=f"file_{end}"),
            start_index=end - 1,
            end_index=end,
        )
        for end in ends
    ]
    parts: list[Any] = [
        ImageFileContentBlock(image_file=ImageFile(file_id="file_image")),
        TextContentBlock(text=Text(value=text, annotations=list(annotations))),
        RefusalContentBlock(refusal=draw(some_words)),
    ]
    return Message(
        id="msg_1",
        created_at=1,
        thread_id="thread_1",
        role="assistant",
        status="in_progress",
        content=parts[draw(st.integers(0, 1)) : draw(st.integers(1, 3))],
    )


def _function(draw: Any, id: str) -> FunctionToolCall:
    function = FunctionCallWithOutput(name="f", arguments=draw(words), output=None)
    return FunctionToolCall(id=id, function=function)


def _search(draw: Any, id: str) -> FileSearchToolCall:
    return FileSearchToolCall(id=id, file_search=FileSearchCall())


def _code(draw: Any, id: str) -> CodeInterpreterToolCall:
    image = CodeInterpreterImage(image=CodeInterpreterImageFile(file_id="file_1"))
    logs = words.filter(bool).map(lambda text: CodeInterpreterLogs(logs=text))
    outputs = draw(st.lists(st.one_of(logs, st.just(image)), max_size=3))
    return CodeInterpreterToolCall(
        id=id, code_interpreter=CodeInterpreterCall(input=draw(words), outputs=outputs)
    )


@st.composite
def steps(draw: Any) -> RunStep:
    calls = [
        draw(st.sampled_from([_function, _search, _code]))(draw, f"call_{number}")
        for number in range(draw(st.integers(0, 4)))
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


def texts(*deltas: Delta) -> Any:
    """What deltas add up to."""
    parts: list[Any] = []
    for delta in deltas:
        told = msgspec.to_builtins(delta.delta)
        more = told.get("content") or told.get("step_details", {}).get("tool_calls") or []
        for entry in more:
            add_entry(parts, entry)
    return parts


@given(st.one_of(messages(), steps()), st.integers(0, 20))
def test_the_head_and_the_rest_of_an_item_are_the_whole(item: Any, size: int) -> None:
    whole = delta_of(item)
    assert whole is not None
    first, rest = head(whole, size), cut(whole, size)
    assert texts(first, *rest) == texts(whole)
    assert added(first) == min(size, added(whole))
    assert added(first) + sum(map(added, rest)) == added(whole)


@given(st.one_of(messages(), steps()), st.lists(st.integers(0, 20), max_size=4))
def test_cut_again_and_again_it_is_still_the_same(item: Any, places: list[int]) -> None:
    whole = delta_of(item)
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


@given(st.one_of(messages(), steps()))
def test_what_is_told_apart_is_the_same_and_calls_begin_with_their_ids(item: Any) -> None:
    whole = delta_of(item)
    assert whole is not None
    parts = told_apart(whole)
    assert texts(*parts) == texts(whole)
    assert sum(map(added, parts)) == added(whole)
    for part in parts:
        told = msgspec.to_builtins(part.delta)
        told = told.get("content") or told.get("step_details", {}).get("tool_calls")
        assert len(told or ()) <= 1
        assert all(added(part) == 1 for entry in told or () if entry.get("id"))
