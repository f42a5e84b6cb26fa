"""Runs: creation, submitted outputs and the object."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from msgspec import UNSET

from famulus_schemas.runs import (
    CreateRun,
    CreateThreadAndRun,
    FunctionCall,
    ModifyRun,
    RequiredAction,
    RequiredActionFunctionToolCall,
    RequiredActionSubmitToolOutputs,
    Run,
    RunError,
    RunIncompleteDetails,
    RunQuery,
    SubmitToolOutputs,
    ToolOutput,
)
from famulus_schemas.threads import CreateThread

CODE = {"type": "code_interpreter"}
BOTH = pytest.mark.parametrize("kind", [CreateRun, CreateThreadAndRun])


def run_of(**fields: object) -> dict[str, object]:
    return {"assistant_id": "asst_1", **fields}


@BOTH
def test_only_the_assistant_is_needed(accepts: Any, refuses: Any, kind: Any) -> None:
    assert accepts(kind, run_of()) == kind(assistant_id="asst_1")
    refuses(kind, {}, "assistant_id")
    refuses(kind, run_of(colour="blue"), "colour")


@BOTH
def test_what_is_null_comes_from_the_assistant(accepts: Any, kind: Any) -> None:
    never_null = {"assistant_id", "parallel_tool_calls", "thread"}
    nulls = dict.fromkeys(set(kind.__struct_fields__) - never_null)
    assert accepts(kind, run_of(**nulls)) == kind(assistant_id="asst_1")


@BOTH
@pytest.mark.parametrize("field", ["max_prompt_tokens", "max_completion_tokens"])
def test_a_budget_is_at_least_256(accepts: Any, refuses: Any, kind: Any, field: str) -> None:
    accepts(kind, run_of(**{field: 256}))
    refuses(kind, run_of(**{field: 255}), f"$.{field}")


@BOTH
def test_a_run_takes_as_many_tools_as_an_assistant(accepts: Any, refuses: Any, kind: Any) -> None:
    accepts(kind, run_of(tools=[CODE] * 128))
    refuses(kind, run_of(tools=[CODE] * 129), "$.tools")


@BOTH
def test_sampling_is_limited(refuses: Any, kind: Any) -> None:
    refuses(kind, run_of(temperature=2.1), "$.temperature")
    refuses(kind, run_of(temperature=-0.1), "$.temperature")
    refuses(kind, run_of(top_p=1.1), "$.top_p")
    refuses(kind, run_of(top_p=-0.1), "$.top_p")


@BOTH
def test_metadata_is_limited(refuses: Any, kind: Any) -> None:
    refuses(kind, run_of(metadata={"k": "v" * 513}), "$.metadata")


@BOTH
def test_tools_run_in_parallel_unless_forbidden(accepts: Any, refuses: Any, kind: Any) -> None:
    assert accepts(kind, run_of()).parallel_tool_calls is True
    refuses(kind, run_of(parallel_tool_calls=None), "$.parallel_tool_calls")


def test_only_a_run_on_a_thread_that_exists_adds_to_it(accepts: Any, refuses: Any) -> None:
    said = [{"role": "user", "content": "x"}]
    more = {"additional_instructions": "y", "additional_messages": said, "reasoning_effort": "low"}
    accepts(CreateRun, run_of(**more))
    for field, value in more.items():
        refuses(CreateThreadAndRun, run_of(**{field: value}), field)
    for field in ("thread", "tool_resources"):
        refuses(CreateRun, run_of(**{field: {}}), field)


def test_a_run_may_bring_its_thread(accepts: Any, refuses: Any) -> None:
    assert accepts(CreateThreadAndRun, run_of()).thread is UNSET
    assert accepts(CreateThreadAndRun, run_of(thread={})).thread == CreateThread()
    refuses(CreateThreadAndRun, run_of(thread={"messages": [{}]}), "$.thread.messages[0]")
    stores: dict[str, object] = {"file_search": {"vector_stores": [{}]}}
    accepts(CreateThreadAndRun, run_of(thread={"tool_resources": stores}))
    refuses(CreateThreadAndRun, run_of(tool_resources=stores), "vector_stores")


def test_modification_tells_null_from_absent(accepts: Any, refuses: Any) -> None:
    assert accepts(ModifyRun, {}).metadata is UNSET
    assert accepts(ModifyRun, {"metadata": None}).metadata is None
    refuses(ModifyRun, {"status": "cancelled"}, "status")


def test_outputs_come_together(accepts: Any, refuses: Any) -> None:
    body = {"tool_outputs": [{"tool_call_id": "call_1", "output": "3"}, {}], "stream": None}
    assert accepts(SubmitToolOutputs, body) == SubmitToolOutputs(
        tool_outputs=[ToolOutput(tool_call_id="call_1", output="3"), ToolOutput()]
    )
    refuses(SubmitToolOutputs, {}, "tool_outputs")
    refuses(SubmitToolOutputs, {"tool_outputs": None}, "$.tool_outputs")
    refuses(SubmitToolOutputs, {"tool_outputs": [{"output": 3}]}, "$.tool_outputs[0].output")
    refuses(SubmitToolOutputs, {"tool_outputs": [{"error": "x"}]}, "error")


def test_only_the_passages_of_a_search_can_be_included(accepts: Any, refuses: Any) -> None:
    name = "step_details.tool_calls[*].file_search.results[*].content"
    assert accepts(RunQuery, {}) == RunQuery(include=[])
    assert accepts(RunQuery, {"include": [name]}).include == [name]
    refuses(RunQuery, {"include": ["usage"]}, "$.include[0]")


def test_a_run_always_sends_all_its_fields() -> None:
    run = Run(
        id="run_1",
        created_at=1,
        thread_id="thread_1",
        assistant_id="asst_1",
        status="queued",
        model="m",
    )
    assert msgspec.to_builtins(run) == {
        "id": "run_1",
        "object": "thread.run",
        "created_at": 1,
        "thread_id": "thread_1",
        "assistant_id": "asst_1",
        "status": "queued",
        "required_action": None,
        "last_error": None,
        "expires_at": None,
        "started_at": None,
        "cancelled_at": None,
        "failed_at": None,
        "completed_at": None,
        "incomplete_details": None,
        "model": "m",
        "instructions": "",
        "tools": [],
        "metadata": {},
        "usage": None,
        "temperature": 1.0,
        "top_p": 1.0,
        "max_prompt_tokens": None,
        "max_completion_tokens": None,
        "truncation_strategy": {"type": "auto", "last_messages": None},
        "tool_choice": "auto",
        "parallel_tool_calls": True,
        "response_format": "auto",
    }


def test_a_required_action_lists_function_calls() -> None:
    call = RequiredActionFunctionToolCall(
        id="call_1", function=FunctionCall(name="add", arguments="{}")
    )
    action = RequiredAction(submit_tool_outputs=RequiredActionSubmitToolOutputs(tool_calls=[call]))
    assert msgspec.to_builtins(action) == {
        "type": "submit_tool_outputs",
        "submit_tool_outputs": {
            "tool_calls": [
                {
                    "id": "call_1",
                    "type": "function",
                    "function": {"name": "add", "arguments": "{}"},
                }
            ]
        },
    }


def test_a_failed_run_says_why_in_known_codes(accepts: Any, refuses: Any) -> None:
    for code in ("server_error", "rate_limit_exceeded", "invalid_prompt"):
        accepts(RunError, {"code": code, "message": "x"})
    refuses(RunError, {"code": "oops", "message": "x"}, "$.code")
    for reason in ("max_completion_tokens", "max_prompt_tokens"):
        accepts(RunIncompleteDetails, {"reason": reason})
    refuses(RunIncompleteDetails, {"reason": "content_filter"}, "$.reason")
