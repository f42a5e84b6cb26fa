"""Threads: a conversation, apart from any assistant."""

from __future__ import annotations

from typing import Literal, TypeAlias

from msgspec import UNSET, UnsetType

from famulus_schemas.messages import CreateMessage
from famulus_schemas.tools import CreateToolResources, ToolResources
from famulus_schemas.wire import Answer, Metadata, Request, UnixSeconds

OnBusy: TypeAlias = Literal["refuse", "queue", "cancel"]
"""What becomes of a run or a message for a thread that a run has: it is refused, it waits for its
turn, or the earlier runs are cancelled for it."""


class CreateThread(Request, frozen=True, kw_only=True):
    """A new thread, with the messages that it begins with."""

    messages: list[CreateMessage] = []
    tool_resources: CreateToolResources | None = None
    metadata: Metadata | None = None


class ModifyThread(Request, frozen=True, kw_only=True):
    """Changes to a thread: what is absent stays, what is null is cleared."""

    tool_resources: ToolResources | UnsetType | None = UNSET
    metadata: Metadata | UnsetType | None = UNSET


class Thread(Answer, frozen=True, kw_only=True):
    """A thread as it now is; its messages are listed apart."""

    id: str
    object: Literal["thread"] = "thread"
    created_at: UnixSeconds
    tool_resources: ToolResources | None = None
    metadata: Metadata = {}
