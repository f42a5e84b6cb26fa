"""Deltas: what did not change is absent, and every part has its index and its type."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from famulus_schemas.deltas import (
    CodeInterpreterCallDelta,
    CodeInterpreterImageDelta,
    CodeInterpreterLogsDelta,
    CodeInterpreterOutputDelta,
    CodeInterpreterToolCallDelta,
    FileCitationDeltaAnnotation,
    FilePathDeltaAnnotation,
    FileSearchToolCallDelta,
    FunctionCallDelta,
    FunctionToolCallDelta,
    ImageFileDeltaBlock,
    ImageURLDeltaBlock,
    MessageContentDelta,
    MessageCreationStepDelta,
    MessageDelta,
    MessageDeltaEvent,
    RefusalDeltaBlock,
    RunStepDelta,
    RunStepDeltaEvent,
    StepDetailsDelta,
    TextDelta,
    TextDeltaBlock,
    ToolCallDelta,
    ToolCallsStepDelta,
)


def test_a_token_is_sent_with_nothing_around_it() -> None:
    event = MessageDeltaEvent(
        id="msg_1",
        delta=MessageDelta(content=[TextDeltaBlock(index=0, text=TextDelta(value="a"))]),
    )
    assert msgspec.to_builtins(event) == {
        "id": "msg_1",
        "object": "thread.message.delta",
        "delta": {"content": [{"type": "text", "index": 0, "text": {"value": "a"}}]},
    }


def test_the_first_text_may_bring_an_empty_list_of_annotations() -> None:
    assert msgspec.to_builtins(TextDelta(value="a", annotations=[]))["annotations"] == []


@pytest.mark.parametrize(
    ("union", "tag", "kind"),
    [
        (MessageContentDelta, "text", TextDeltaBlock),
        (MessageContentDelta, "refusal", RefusalDeltaBlock),
        (MessageContentDelta, "image_file", ImageFileDeltaBlock),
        (MessageContentDelta, "image_url", ImageURLDeltaBlock),
        (ToolCallDelta, "code_interpreter", CodeInterpreterToolCallDelta),
        (ToolCallDelta, "file_search", FileSearchToolCallDelta),
        (ToolCallDelta, "function", FunctionToolCallDelta),
        (CodeInterpreterOutputDelta, "logs", CodeInterpreterLogsDelta),
        (CodeInterpreterOutputDelta, "image", CodeInterpreterImageDelta),
        (
            FileCitationDeltaAnnotation | FilePathDeltaAnnotation,
            "file_path",
            FilePathDeltaAnnotation,
        ),
        (
            FileCitationDeltaAnnotation | FilePathDeltaAnnotation,
            "file_citation",
            FileCitationDeltaAnnotation,
        ),
    ],
)
def test_the_tag_chooses_and_the_index_is_needed(
    accepts: Any, refuses: Any, union: Any, tag: str, kind: Any
) -> None:
    assert accepts(union, {"type": tag, "index": 0}) == kind(index=0)
    refuses(union, {"type": tag}, "index")
    refuses(union, {"index": 0}, "type")


@pytest.mark.parametrize(
    ("tag", "kind"),
    [("message_creation", MessageCreationStepDelta), ("tool_calls", ToolCallsStepDelta)],
)
def test_the_tag_chooses_the_step(accepts: Any, tag: str, kind: Any) -> None:
    assert accepts(StepDetailsDelta, {"type": tag}) == kind()


def test_a_search_delta_is_always_an_empty_object() -> None:
    assert msgspec.to_builtins(FileSearchToolCallDelta(index=0, id="call_1")) == {
        "type": "file_search",
        "index": 0,
        "id": "call_1",
        "file_search": {},
    }


def test_arguments_grow_without_the_name_being_sent_again() -> None:
    first = FunctionToolCallDelta(
        index=0, id="call_1", function=FunctionCallDelta(name="add", arguments="", output=None)
    )
    assert msgspec.to_builtins(first) == {
        "type": "function",
        "index": 0,
        "id": "call_1",
        "function": {"name": "add", "arguments": "", "output": None},
    }
    later = FunctionToolCallDelta(index=0, function=FunctionCallDelta(arguments='{"a"'))
    event = RunStepDeltaEvent(
        id="step_1", delta=RunStepDelta(step_details=ToolCallsStepDelta(tool_calls=[later]))
    )
    assert msgspec.to_builtins(event) == {
        "id": "step_1",
        "object": "thread.run.step.delta",
        "delta": {
            "step_details": {
                "type": "tool_calls",
                "tool_calls": [{"type": "function", "index": 0, "function": {"arguments": '{"a"'}}],
            }
        },
    }


def test_code_grows_by_its_input() -> None:
    delta = CodeInterpreterToolCallDelta(
        index=0, code_interpreter=CodeInterpreterCallDelta(input="1+")
    )
    assert msgspec.to_builtins(delta)["code_interpreter"] == {"input": "1+"}
