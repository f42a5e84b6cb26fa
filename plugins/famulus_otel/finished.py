"""What a notice is as a span: its name and attributes, by OpenTelemetry's conventions.

Names are of the conventions for generative AI and for HTTP servers. No attribute holds what a
conversation says, what a tool is given or gives, an address, or a header.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import msgspec

from famulus_schemas.notices import (
    BackendFailed,
    ModelAnswered,
    RequestServed,
    RunEnded,
    ToolCalled,
)
from famulus_schemas.spans import Span

Traced = RequestServed | RunEnded | ModelAnswered | BackendFailed | ToolCalled
Value = str | int | float | bool
Kind = Literal["server", "client", "internal"]

LEFT = 499
"""The status of a request whose client went away, which is never sent."""

_OPERATIONS = {
    "chat/completions": "chat",
    "completions": "text_completion",
    "embeddings": "embeddings",
}
_TOOL_TYPES = {"function": "function", "file_search": "datastore"}
_FAILED = frozenset({"failed", "expired", "incomplete"})


class Finished(msgspec.Struct, frozen=True, kw_only=True):
    """A span that is over."""

    span: Span
    name: str
    kind: Kind
    ended_at: float
    attributes: Mapping[str, Value]
    error: str = ""
    """What went wrong, in one word; empty where nothing did."""


def finished(notice: Traced) -> Finished | None:
    """The span of what happened; None where it is not traced, or not to be exported."""
    span = notice.span
    if span is None or not span.is_sampled:
        return None
    match notice:
        case RequestServed():
            return _request(notice, span)
        case RunEnded():
            return _run(notice, span)
        case ModelAnswered():
            return _answer(notice, span)
        case BackendFailed():
            return _fault(notice, span)
        case ToolCalled():
            return _tool(notice, span)


def _request(notice: RequestServed, span: Span) -> Finished:
    status = notice.status
    error = str(status) if status >= 500 else "client_left" if status == LEFT else ""
    return Finished(
        span=span,
        name=f"{notice.method} {notice.route}".rstrip(),
        kind="server",
        ended_at=span.began_at + notice.seconds,
        error=error,
        attributes=_given(
            {
                "http.request.method": notice.method,
                "http.route": notice.route,
                "http.response.status_code": status,
                "famulus.operation": notice.operation,
                "famulus.request.id": notice.request_id,
                "famulus.project.id": notice.project or "",
            }
        ),
    )


def _run(notice: RunEnded, span: Span) -> Finished:
    failed = notice.status in _FAILED
    return Finished(
        span=span,
        name=f"invoke_agent {span.agent}",
        kind="internal",
        # Since it was created, which was before; or since its client answered, which was after.
        ended_at=max(span.began_at, notice.ended_at),
        error=(notice.fault or notice.status) if failed else "",
        attributes=_of_genai(
            span,
            "invoke_agent",
            "famulus",
            {
                "gen_ai.request.model": notice.model,
                "gen_ai.usage.input_tokens": notice.prompt_tokens,
                "gen_ai.usage.output_tokens": notice.completion_tokens,
                "famulus.run.id": notice.run,
                "famulus.run.status": notice.status,
                "famulus.project.id": notice.project,
            },
        ),
    )


def _answer(notice: ModelAnswered, span: Span) -> Finished:
    operation = _OPERATIONS[notice.endpoint]
    return Finished(
        span=span,
        name=f"{operation} {notice.asked_for}",
        kind="client",
        ended_at=span.began_at + notice.seconds,
        error=notice.fault or "",
        attributes=_of_genai(
            span,
            operation,
            notice.backend,
            {
                "gen_ai.request.model": notice.asked_for,
                "gen_ai.response.model": notice.model,
                "gen_ai.usage.input_tokens": notice.prompt_tokens,
                "gen_ai.usage.output_tokens": notice.completion_tokens,
                "gen_ai.usage.cache_read.input_tokens": notice.cached_tokens,
                "gen_ai.response.time_to_first_chunk": notice.first_s,
            },
        ),
    )


def _fault(notice: BackendFailed, span: Span) -> Finished:
    operation = _OPERATIONS[notice.endpoint]
    model = {"gen_ai.request.model": notice.asked_for}
    return Finished(
        span=span,
        name=f"{operation} {notice.asked_for}",
        kind="client",
        ended_at=span.began_at + notice.seconds,
        error=notice.kind,
        attributes=_of_genai(span, operation, notice.backend, model),
    )


def _tool(notice: ToolCalled, span: Span) -> Finished:
    return Finished(
        span=span,
        name=f"execute_tool {notice.name}",
        kind="internal",
        ended_at=span.began_at + notice.seconds,
        error="" if notice.result == "ok" else notice.result,
        attributes=_of_genai(
            span,
            "execute_tool",
            "famulus",
            {
                "gen_ai.tool.name": notice.name,
                "gen_ai.tool.type": _TOOL_TYPES.get(notice.kind, "extension"),
                "gen_ai.tool.call.id": notice.call,
            },
        ),
    )


def _of_genai(
    span: Span, operation: str, provider: str, more: Mapping[str, Value]
) -> dict[str, Value]:
    shared = {
        "gen_ai.operation.name": operation,
        "gen_ai.provider.name": provider,
        "gen_ai.conversation.id": span.conversation,
        "gen_ai.agent.id": span.agent,
    }
    return _given({**shared, **more})


def _given(attributes: Mapping[str, Value]) -> dict[str, Value]:
    """What is known of them."""
    return {name: value for name, value in attributes.items() if value != ""}
