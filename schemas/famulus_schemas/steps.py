"""Run steps: what a run did, one message or one round of tool calls at a time."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from msgspec import UNSET, Meta, Struct, UnsetType

from famulus_schemas.runs import RunUsage, StepInclude
from famulus_schemas.tools import Ranker
from famulus_schemas.wire import Answer, ListQuery, Metadata, UnixSeconds


class StepListQuery(ListQuery, frozen=True, kw_only=True):
    """Which page of a run's steps, and what else they should carry; on the wire `include[]`."""

    include: list[StepInclude] = []


class StepQuery(Struct, frozen=True, kw_only=True):
    """What else one step should carry; on the wire `include[]`."""

    include: list[StepInclude] = []


# -- tool calls ----------------------------------------------------------------------------


class CodeInterpreterLogs(Answer, frozen=True, kw_only=True, tag_field="type", tag="logs"):
    """What the code printed."""

    logs: str


class CodeInterpreterImageFile(Answer, frozen=True, kw_only=True):
    """The file that holds an image."""

    file_id: str


class CodeInterpreterImage(Answer, frozen=True, kw_only=True, tag_field="type", tag="image"):
    """An image that the code made."""

    image: CodeInterpreterImageFile


CodeInterpreterOutput: TypeAlias = CodeInterpreterLogs | CodeInterpreterImage


class CodeInterpreterCall(Answer, frozen=True, kw_only=True):
    """Code, and what came of it."""

    input: str
    outputs: list[CodeInterpreterOutput] = []


class CodeInterpreterToolCall(
    Answer, frozen=True, kw_only=True, tag_field="type", tag="code_interpreter"
):
    """One run of code."""

    id: str
    code_interpreter: CodeInterpreterCall


Score: TypeAlias = Annotated[float, Meta(ge=0, le=1)]


class FileSearchCallRankingOptions(Answer, frozen=True, kw_only=True):
    """How the passages were scored."""

    ranker: Ranker
    score_threshold: Score


class FileSearchResultContent(Answer, frozen=True, kw_only=True):
    """A passage that was found."""

    type: Literal["text"] = "text"
    text: str


class FileSearchResult(Answer, frozen=True, kw_only=True):
    """A file that was found; its passages are there only when asked for."""

    file_id: str
    file_name: str
    score: Score
    content: list[FileSearchResultContent] | UnsetType = UNSET


class FileSearchCall(Answer, frozen=True, kw_only=True):
    """How a search was made, and what it found."""

    ranking_options: FileSearchCallRankingOptions | UnsetType = UNSET
    results: list[FileSearchResult] | UnsetType = UNSET


class FileSearchToolCall(Answer, frozen=True, kw_only=True, tag_field="type", tag="file_search"):
    """One search."""

    id: str
    file_search: FileSearchCall


class FunctionCallWithOutput(Answer, frozen=True, kw_only=True):
    """A function call; the output is null until it is submitted."""

    name: str
    arguments: str
    output: str | None = None


class FunctionToolCall(Answer, frozen=True, kw_only=True, tag_field="type", tag="function"):
    """One call of a function of the caller's."""

    id: str
    function: FunctionCallWithOutput


ToolCall: TypeAlias = CodeInterpreterToolCall | FileSearchToolCall | FunctionToolCall

# -- steps ---------------------------------------------------------------------------------


class MessageCreation(Answer, frozen=True, kw_only=True):
    """The message that the step wrote."""

    message_id: str


class MessageCreationStepDetails(
    Answer, frozen=True, kw_only=True, tag_field="type", tag="message_creation"
):
    """A step that writes a message."""

    message_creation: MessageCreation


class ToolCallsStepDetails(Answer, frozen=True, kw_only=True, tag_field="type", tag="tool_calls"):
    """A step that calls tools."""

    tool_calls: list[ToolCall] = []


StepDetails: TypeAlias = MessageCreationStepDetails | ToolCallsStepDetails
RunStepType: TypeAlias = Literal["message_creation", "tool_calls"]
RunStepStatus: TypeAlias = Literal["in_progress", "cancelled", "failed", "completed", "expired"]
RunStepErrorCode: TypeAlias = Literal["server_error", "rate_limit_exceeded"]


class RunStepError(Answer, frozen=True, kw_only=True):
    """Why a step failed."""

    code: RunStepErrorCode
    message: str


class RunStep(Answer, frozen=True, kw_only=True):
    """A step as it now is; usage is null while it is at work."""

    id: str
    object: Literal["thread.run.step"] = "thread.run.step"
    created_at: UnixSeconds
    assistant_id: str
    thread_id: str
    run_id: str
    type: RunStepType
    status: RunStepStatus
    step_details: StepDetails
    last_error: RunStepError | None = None
    expired_at: UnixSeconds | None = None
    cancelled_at: UnixSeconds | None = None
    failed_at: UnixSeconds | None = None
    completed_at: UnixSeconds | None = None
    metadata: Metadata = {}
    usage: RunUsage | None = None
