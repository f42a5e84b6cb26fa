"""What a run is made of: the request, and the assistant for all that it leaves open."""

from __future__ import annotations

from typing import TypeVar

from famulus_schemas.assistants import Assistant
from famulus_schemas.runs import CreateRun, CreateThreadAndRun, Run
from famulus_schemas.tools import TruncationStrategy

T = TypeVar("T")


def new_run(
    request: CreateRun | CreateThreadAndRun,
    assistant: Assistant,
    *,
    id: str,
    thread_id: str,
    now: int,
    run_s: int,
) -> Run:
    """The run as it is queued."""
    return Run(
        id=id,
        created_at=now,
        thread_id=thread_id,
        assistant_id=assistant.id,
        status="queued",
        expires_at=now + run_s,
        model=request.model or assistant.model,
        instructions=_instructions(request, assistant),
        tools=_or(request.tools, assistant.tools),
        metadata=request.metadata or {},
        temperature=_or(request.temperature, assistant.temperature),
        top_p=_or(request.top_p, assistant.top_p),
        max_prompt_tokens=request.max_prompt_tokens,
        max_completion_tokens=request.max_completion_tokens,
        truncation_strategy=request.truncation_strategy or TruncationStrategy(type="auto"),
        tool_choice=_or(request.tool_choice, "auto"),
        parallel_tool_calls=request.parallel_tool_calls,
        response_format=_or(request.response_format, assistant.response_format),
    )


def _or(given: T | None, otherwise: T) -> T:
    return otherwise if given is None else given


def _instructions(request: CreateRun | CreateThreadAndRun, assistant: Assistant) -> str:
    instructions = _or(request.instructions, assistant.instructions) or ""
    more = request.additional_instructions if isinstance(request, CreateRun) else None
    return "\n".join(part for part in (instructions, more) if part)
