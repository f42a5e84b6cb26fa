"""Run steps: what a run did."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from famulus_schemas.steps import (
    CodeInterpreterCall,
    CodeInterpreterImage,
    CodeInterpreterImageFile,
    CodeInterpreterLogs,
    CodeInterpreterToolCall,
    FileSearchCall,
    FileSearchCallRankingOptions,
    FileSearchResult,
    FileSearchResultContent,
    FileSearchToolCall,
    FunctionCallWithOutput,
    FunctionToolCall,
    MessageCreation,
    MessageCreationStepDetails,
    RunStep,
    RunStepError,
    StepDetails,
    StepListQuery,
    StepQuery,
    ToolCall,
    ToolCallsStepDetails,
)

INCLUDE = "step_details.tool_calls[*].file_search.results[*].content"


def test_the_tag_chooses_the_details(accepts: Any, refuses: Any) -> None:
    said = {"type": "message_creation", "message_creation": {"message_id": "msg_1"}}
    assert accepts(StepDetails, said) == MessageCreationStepDetails(
        message_creation=MessageCreation(message_id="msg_1")
    )
    calls = {"type": "tool_calls", "tool_calls": []}
    assert accepts(StepDetails, calls) == ToolCallsStepDetails(tool_calls=[])
    refuses(StepDetails, {"type": "thinking"}, "$.type")


def test_a_code_call_has_logs_and_images(accepts: Any) -> None:
    outputs = [
        {"type": "logs", "logs": "3"},
        {"type": "image", "image": {"file_id": "file-1"}},
    ]
    body = {
        "type": "code_interpreter",
        "id": "call_1",
        "code_interpreter": {"input": "1+2", "outputs": outputs},
    }
    assert accepts(ToolCall, body) == CodeInterpreterToolCall(
        id="call_1",
        code_interpreter=CodeInterpreterCall(
            input="1+2",
            outputs=[
                CodeInterpreterLogs(logs="3"),
                CodeInterpreterImage(image=CodeInterpreterImageFile(file_id="file-1")),
            ],
        ),
    )


def test_a_search_tells_its_passages_only_when_asked() -> None:
    found = FileSearchResult(file_id="file-1", file_name="a.txt", score=0.5)
    assert msgspec.to_builtins(found) == {
        "file_id": "file-1",
        "file_name": "a.txt",
        "score": 0.5,
    }
    passages = [FileSearchResultContent(text="hello")]
    asked = msgspec.structs.replace(found, content=passages)
    assert msgspec.to_builtins(asked)["content"] == [{"type": "text", "text": "hello"}]


def test_a_search_under_way_has_nothing_to_tell(accepts: Any) -> None:
    call = FileSearchToolCall(id="call_1", file_search=FileSearchCall())
    body = {"type": "file_search", "id": "call_1", "file_search": {}}
    assert msgspec.to_builtins(call) == body
    assert accepts(ToolCall, body) == call


def test_scores_are_from_0_to_1(accepts: Any, refuses: Any) -> None:
    for fine in (0, 1):
        accepts(FileSearchResult, {"file_id": "f", "file_name": "a", "score": fine})
        accepts(FileSearchCallRankingOptions, {"ranker": "auto", "score_threshold": fine})
    for bad in (-0.1, 1.1):
        refuses(FileSearchResult, {"file_id": "f", "file_name": "a", "score": bad}, "$.score")
        refuses(FileSearchCallRankingOptions, {"ranker": "auto", "score_threshold": bad})


def test_the_output_of_a_function_is_null_until_submitted(accepts: Any) -> None:
    call = FunctionToolCall(
        id="call_1", function=FunctionCallWithOutput(name="add", arguments="{}")
    )
    body = {
        "type": "function",
        "id": "call_1",
        "function": {"name": "add", "arguments": "{}", "output": None},
    }
    assert msgspec.to_builtins(call) == body
    assert accepts(ToolCall, body) == call


def test_a_step_always_sends_all_its_fields() -> None:
    step = RunStep(
        id="step_1",
        created_at=1,
        assistant_id="asst_1",
        thread_id="thread_1",
        run_id="run_1",
        type="tool_calls",
        status="in_progress",
        step_details=ToolCallsStepDetails(),
    )
    assert msgspec.to_builtins(step) == {
        "id": "step_1",
        "object": "thread.run.step",
        "created_at": 1,
        "assistant_id": "asst_1",
        "thread_id": "thread_1",
        "run_id": "run_1",
        "type": "tool_calls",
        "status": "in_progress",
        "step_details": {"type": "tool_calls", "tool_calls": []},
        "last_error": None,
        "expired_at": None,
        "cancelled_at": None,
        "failed_at": None,
        "completed_at": None,
        "metadata": {},
        "usage": None,
    }


def test_a_failed_step_says_why_in_known_codes(accepts: Any, refuses: Any) -> None:
    for code in ("server_error", "rate_limit_exceeded"):
        accepts(RunStepError, {"code": code, "message": "x"})
    refuses(RunStepError, {"code": "invalid_prompt", "message": "x"}, "$.code")


@pytest.mark.parametrize("query", [StepListQuery, StepQuery])
def test_only_the_passages_of_a_search_can_be_included(
    accepts: Any, refuses: Any, query: Any
) -> None:
    assert accepts(query, {}).include == []
    assert accepts(query, {"include": [INCLUDE]}).include == [INCLUDE]
    refuses(query, {"include": ["step_details"]}, "$.include[0]")
