"""Notices: what plugins tell each other happened, by the hook `on_event`. They may be lost."""

from __future__ import annotations

from typing import Literal

import msgspec

from famulus_schemas.inference import Endpoint, FaultKind
from famulus_schemas.limits import Reserved
from famulus_schemas.spans import Span


class RequestServed(msgspec.Struct, frozen=True, kw_only=True, tag=True, gc=False):
    """An operation was answered."""

    operation: str
    status: int
    seconds: float
    request_id: str
    ended_at: float = 0.0
    """When its answer was sent, in seconds since 1970."""
    project: str | None = None
    principal: str | None = None
    """Who asked, by the principal's id; None where that is not known."""
    method: str = ""
    route: str = ""
    """The path as the operation names it, `/things/{id}`; empty where nothing is served there."""
    span: Span | None = None
    """What it was, where it is traced."""


class RequestRefused(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Somebody was not let in (401), may not (403), or has to wait (429)."""

    operation: str
    action: str
    """What the operation is for, as `resource.verb`; empty where none was found."""
    status: int
    code: str
    """The error's."""
    request_id: str
    client: str
    """The address that the request came from."""
    user_agent: str
    project: str | None = None
    principal: str | None = None
    """Who it was, by the principal's id; None where that is not known."""
    key_id: str | None = None
    resource: str | None = None
    """The id that the path ends with."""


class RunEnded(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """A run reached a terminal status, or rests until its client answers."""

    project: str
    run: str
    status: str
    seconds: float
    """Since it was created."""
    principal: str = ""
    """Who created it, by the principal's id."""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    model: str = ""
    """As its client named it."""
    queued_s: float | None = None
    """From when it was created until it was begun; None where it never was."""
    ended_at: float = 0.0
    """In unix seconds."""
    model_requests: int = 0
    """How often it asked its model and was answered."""
    reserved: Reserved | None = None
    """What was reserved for it when it was created."""
    fault: str = ""
    """The code of its error, where it has one."""
    span: Span | None = None
    """What was done of it here since it last rested, where it is traced."""


class ModelAnswered(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """A model server's answer ended: it was whole, broke off, or nobody waited for it any more."""

    backend: str
    model: str
    """As its server names it."""
    seconds: float
    first_s: float
    """Until the first piece of the answer was there."""
    endpoint: Endpoint = "chat/completions"
    asked_for: str = ""
    """As whoever asked calls the model."""
    fault: FaultKind | None = None
    """Why it broke off, where its server did that."""
    span: Span | None = None
    """What it was, where it is traced."""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0


class BackendFailed(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """A model server did not answer as it was asked to; another may have, or it itself later."""

    backend: str
    kind: FaultKind
    endpoint: Endpoint = "chat/completions"
    asked_for: str = ""
    seconds: float = 0.0
    span: Span | None = None
    """What it was, where it is traced and had not begun to answer."""


class ToolCalled(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """A call that the server runs for a model ended."""

    kind: str
    """The type of the tool, such as `file_search`."""
    result: Literal["ok", "error", "timeout", "unusable"]
    seconds: float
    name: str = ""
    """As the model called it."""
    call: str = ""
    """The id of the call."""
    span: Span | None = None
    """What it was, where it is traced."""


class FileIngested(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """A file's way into a vector store ended."""

    project: str
    status: str
    seconds: float
    """Of the attempt that ended it."""
    chunks: int = 0


class PluginChanged(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """A plugin started, stopped or failed."""

    plugin: str
    state: str
    reason: str = ""


Notice = (
    RequestServed
    | RequestRefused
    | RunEnded
    | ModelAnswered
    | BackendFailed
    | ToolCalled
    | FileIngested
    | PluginChanged
)
