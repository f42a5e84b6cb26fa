"""Notices: what plugins tell each other happened, by the hook `on_event`. They may be lost."""

from __future__ import annotations

import msgspec


class RequestServed(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """An operation was answered."""

    operation: str
    status: int
    seconds: float
    request_id: str
    project: str | None = None


class RunEnded(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """A run reached a terminal status."""

    project: str
    run: str
    status: str
    seconds: float
    principal: str = ""
    """Who created it, by the principal's id."""
    prompt_tokens: int = 0
    completion_tokens: int = 0


class PluginChanged(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """A plugin started, stopped or failed."""

    plugin: str
    state: str
    reason: str = ""


Notice = RequestServed | RunEnded | PluginChanged
