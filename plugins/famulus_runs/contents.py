"""The passages that searches found: told only to whoever asks for them by `include[]`."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import UNSET
from msgspec.structs import replace

from famulus_schemas.steps import FileSearchToolCall, RunStep, ToolCall, ToolCallsStepDetails

CONTENTS = "step_details.tool_calls[*].file_search.results[*].content"


def without_contents(step: RunStep) -> RunStep:
    """The step with what was found, less its text."""
    details = step.step_details
    if not isinstance(details, ToolCallsStepDetails):
        return step
    if not any(isinstance(call, FileSearchToolCall) for call in details.tool_calls):
        return step
    calls = [call_without_contents(call) for call in details.tool_calls]
    return replace(step, step_details=replace(details, tool_calls=calls))


def call_without_contents(call: ToolCall) -> ToolCall:
    """The same of one call."""
    if not isinstance(call, FileSearchToolCall) or not call.file_search.results:
        return call
    results = [replace(result, content=UNSET) for result in call.file_search.results]
    return replace(call, file_search=replace(call.file_search, results=results))


def with_contents(step: RunStep, calls: Mapping[str, ToolCall]) -> RunStep:
    """The step with its searches as they are kept in whole, by their id."""
    details = step.step_details
    if not isinstance(details, ToolCallsStepDetails):
        return step
    whole = [
        calls.get(call.id, call) if isinstance(call, FileSearchToolCall) else call
        for call in details.tool_calls
    ]
    return replace(step, step_details=replace(details, tool_calls=whole))
