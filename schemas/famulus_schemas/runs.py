"""Runs: an assistant at work on a thread."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from msgspec import UNSET, Meta, Struct, UnsetType

from famulus_schemas.formats import ResponseFormat
from famulus_schemas.messages import CreateMessage
from famulus_schemas.threads import CreateThread
from famulus_schemas.tools import ToolChoice, ToolResources, Tools, TruncationStrategy
from famulus_schemas.wire import (
    Answer,
    Metadata,
    ModelName,
    ReasoningEffort,
    Request,
    Temperature,
    TopP,
    UnixSeconds,
)

TokenBudget: TypeAlias = Annotated[
    int, Meta(ge=256, description="The most tokens that the whole run may use.")
]

# -- requests ------------------------------------------------------------------------------


class CreateRun(Request, frozen=True, kw_only=True):
    """A new run; what is absent or null comes from the assistant."""

    assistant_id: str
    model: ModelName | None = None
    reasoning_effort: ReasoningEffort | None = None
    instructions: str | None = None
    additional_instructions: str | None = None
    additional_messages: list[CreateMessage] | None = None
    tools: Tools | None = None
    metadata: Metadata | None = None
    temperature: Temperature | None = None
    top_p: TopP | None = None
    stream: bool | None = None
    max_prompt_tokens: TokenBudget | None = None
    max_completion_tokens: TokenBudget | None = None
    truncation_strategy: TruncationStrategy | None = None
    tool_choice: ToolChoice | None = None
    parallel_tool_calls: bool = True
    response_format: ResponseFormat | None = None


class CreateThreadAndRun(Request, frozen=True, kw_only=True):
    """A new thread and a run on it, in one call."""

    assistant_id: str
    thread: CreateThread | UnsetType = UNSET
    model: ModelName | None = None
    instructions: str | None = None
    tools: Tools | None = None
    tool_resources: ToolResources | None = None
    metadata: Metadata | None = None
    temperature: Temperature | None = None
    top_p: TopP | None = None
    stream: bool | None = None
    max_prompt_tokens: TokenBudget | None = None
    max_completion_tokens: TokenBudget | None = None
    truncation_strategy: TruncationStrategy | None = None
    tool_choice: ToolChoice | None = None
    parallel_tool_calls: bool = True
    response_format: ResponseFormat | None = None


class ModifyRun(Request, frozen=True, kw_only=True):
    """Changes to a run: only its metadata may change."""

    metadata: Metadata | UnsetType | None = UNSET


class ToolOutput(Request, frozen=True, kw_only=True):
    """What the caller's function gave; an absent id matches no call."""

    tool_call_id: str = ""
    output: str = ""


class SubmitToolOutputs(Request, frozen=True, kw_only=True):
    """The outputs of all calls that a run waits for, in one body."""

    tool_outputs: list[ToolOutput]
    stream: bool | None = None


StepInclude: TypeAlias = Literal[
    "step_details.tool_calls[*].file_search.results[*].content",
    "famulus.prompt",  # our own: what the model was shown, under the step's key `famulus`
    "famulus.usage",  # our own: whether the usage is an estimate, likewise
]


class RunQuery(Struct, frozen=True, kw_only=True):
    """What else the steps in a new run's stream should carry; on the wire `include[]`."""

    include: list[StepInclude] = []


# -- answers -------------------------------------------------------------------------------

RunStatus: TypeAlias = Literal[
    "queued",
    "in_progress",
    "requires_action",
    "cancelling",
    "cancelled",
    "failed",
    "completed",
    "incomplete",
    "expired",
]


class FunctionCall(Answer, frozen=True, kw_only=True):
    """A function's name and its arguments as JSON text, as the model wrote them."""

    name: str
    arguments: str


class RequiredActionFunctionToolCall(Answer, frozen=True, kw_only=True):
    """One call that the caller must answer."""

    id: str
    type: Literal["function"] = "function"
    function: FunctionCall


class RequiredActionSubmitToolOutputs(Answer, frozen=True, kw_only=True):
    """All calls that the run waits for."""

    tool_calls: list[RequiredActionFunctionToolCall]


class RequiredAction(Answer, frozen=True, kw_only=True):
    """What the caller must do before the run can go on."""

    type: Literal["submit_tool_outputs"] = "submit_tool_outputs"
    submit_tool_outputs: RequiredActionSubmitToolOutputs


RunErrorCode: TypeAlias = Literal["server_error", "rate_limit_exceeded", "invalid_prompt"]


class RunError(Answer, frozen=True, kw_only=True):
    """Why a run failed."""

    code: RunErrorCode
    message: str


RunIncompleteReason: TypeAlias = Literal["max_completion_tokens", "max_prompt_tokens"]


class RunIncompleteDetails(Answer, frozen=True, kw_only=True):
    """Which budget ended a run early."""

    reason: RunIncompleteReason


class RunUsage(Answer, frozen=True, kw_only=True):
    """Tokens read and written."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    total_tokens: int = 0


class Run(Answer, frozen=True, kw_only=True):
    """A run as it now is; instructions are never null, usage is null until it is known."""

    id: str
    object: Literal["thread.run"] = "thread.run"
    created_at: UnixSeconds
    thread_id: str
    assistant_id: str
    status: RunStatus
    required_action: RequiredAction | None = None
    last_error: RunError | None = None
    expires_at: UnixSeconds | None = None
    started_at: UnixSeconds | None = None
    cancelled_at: UnixSeconds | None = None
    failed_at: UnixSeconds | None = None
    completed_at: UnixSeconds | None = None
    incomplete_details: RunIncompleteDetails | None = None
    model: str
    instructions: str = ""
    tools: Tools = []
    metadata: Metadata = {}
    usage: RunUsage | None = None
    temperature: Temperature | None = 1.0
    top_p: TopP | None = 1.0
    max_prompt_tokens: TokenBudget | None = None
    max_completion_tokens: TokenBudget | None = None
    truncation_strategy: TruncationStrategy | None = TruncationStrategy(type="auto")
    tool_choice: ToolChoice | None = "auto"
    parallel_tool_calls: bool = True
    response_format: ResponseFormat | None = "auto"
