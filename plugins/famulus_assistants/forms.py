"""Between what a client asks for, what is kept, and what is answered."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import UNSET
from msgspec.structs import replace

from famulus_schemas.assistants import Assistant, CreateAssistant, FullAssistant, ModifyAssistant
from famulus_schemas.errors import INVALID, Problem
from famulus_schemas.records import Insert, Kind, Record, Replace
from famulus_schemas.tool_resources import with_tools
from famulus_schemas.tools import FunctionTool, Tool, ToolResources
from famulus_schemas.wire import ReasoningEffort

ASSISTANT = Kind(name="assistant")


class Extra(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What an assistant keeps and its answers leave out."""

    reasoning_effort: ReasoningEffort | None = None


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Assistant).decode
_decode_full = msgspec.json.Decoder(FullAssistant).decode
_encode_extra = msgspec.msgpack.Encoder().encode
_decode_extra = msgspec.msgpack.Decoder(Extra).decode

WHEN_CLEARED: dict[str, Any] = {
    "metadata": {},
    "temperature": 1.0,
    "top_p": 1.0,
    "response_format": "auto",
}
"""What null stands for where it is not null itself."""

_PLAIN = (
    "model",
    "name",
    "description",
    "instructions",
    "tools",
    "metadata",
    "temperature",
    "top_p",
    "response_format",
)
"""Fields that are kept as they are given."""


def created(request: CreateAssistant, resources: ToolResources, *, id: str, now: int) -> Assistant:
    """A new assistant. Raises Problem for what it cannot have."""
    check_tools(request.tools)
    return Assistant(
        id=id,
        created_at=now,
        tool_resources=with_tools(resources, request.tools),
        **{name: _kept(name, getattr(request, name)) for name in _PLAIN},
    )


def insert(assistant: Assistant, request: CreateAssistant) -> Insert:
    """The write that adds a new assistant."""
    return Insert(
        kind="assistant",
        id=assistant.id,
        created_at=assistant.created_at,
        body=_encode(assistant),
        extra=_extra(Extra(reasoning_effort=request.reasoning_effort)),
    )


def modified(record: Record, request: ModifyAssistant) -> Replace | None:
    """The write that changes an assistant; None where nothing is asked for."""
    if request == ModifyAssistant():
        return None
    changes = {
        name: _kept(name, value)
        for name in _PLAIN
        if (value := getattr(request, name)) is not UNSET
    }
    assistant = replace(_decode(record.body), **changes)
    given = request.tool_resources
    resources = assistant.tool_resources if given is UNSET else given
    assistant = replace(assistant, tool_resources=with_tools(resources, assistant.tools))
    extra = _unpacked(record.extra)
    if request.reasoning_effort is not UNSET:
        extra = replace(extra, reasoning_effort=request.reasoning_effort)
    return Replace(
        kind="assistant",
        id=record.id,
        version=record.version,
        body=_encode(assistant),
        extra=_extra(extra),
    )


def full(record: Record) -> FullAssistant:
    """All that is kept of an assistant."""
    assistant = _decode_full(record.body)
    effort = _unpacked(record.extra).reasoning_effort
    return assistant if effort is None else replace(assistant, reasoning_effort=effort)


def check_tools(tools: Sequence[Tool]) -> None:
    """Raise Problem where two functions have one name: a call could mean either."""
    names: set[str] = set()
    for index, tool in enumerate(tools):
        if not isinstance(tool, FunctionTool):
            continue
        name = tool.function.name
        if name in names:
            param = f"tools[{index}].function.name"
            reason = f"there is another function named '{name}'. Give each a name of its own."
            raise Problem(INVALID, param=param, name=param, reason=reason)
        names.add(name)


def _kept(name: str, value: Any) -> Any:
    return WHEN_CLEARED.get(name) if value is None else value


def _extra(extra: Extra) -> bytes:
    return b"" if extra == Extra() else _encode_extra(extra)


def _unpacked(extra: bytes) -> Extra:
    return _decode_extra(extra) if extra else Extra()
