"""From what a client asks for to the thread and the messages that are kept."""

from __future__ import annotations

from collections.abc import Sequence

from famulus.clock import MakeId
from famulus_schemas.errors import ARRAY_TOO_LONG, STRING_TOO_LONG, Problem
from famulus_schemas.messages import (
    CreateMessage,
    Message,
    MessageContent,
    RequestContent,
    RequestContentBlock,
    Text,
    TextContentBlock,
    TextContentBlockParam,
)
from famulus_schemas.threads import CreateThread, Thread
from famulus_schemas.tools import ToolResources
from famulus_threads.images import Refusal, hold_images, nothing_refused
from famulus_threads.settings import ThreadsSettings


class Maker:
    """Makes threads and messages within the limits of the settings."""

    def __init__(self, settings: ThreadsSettings, *, make_id: MakeId, refusal: Refusal) -> None:
        self._settings = settings
        self._make_id = make_id
        self._refusal = refusal

    def thread(self, request: CreateThread, resources: ToolResources, *, now: int) -> Thread:
        """A new thread, without its messages."""
        return Thread(
            id=self._make_id("thread_"),
            created_at=now,
            tool_resources=resources,
            metadata=request.metadata or {},
        )

    def message(
        self, request: CreateMessage, *, thread_id: str, now: int, within: str = ""
    ) -> Message:
        """A new message, whole from the start. Raises Problem for what it cannot have."""
        self._hold_text(request.content, f"{within}content")
        # What an assistant made is told by its address, and never looked at.
        refusal = self._refusal if request.role == "user" else nothing_refused
        hold_images(request.content, f"{within}content", self._settings, refusal)
        return Message(
            id=self._make_id("msg_"),
            created_at=now,
            thread_id=thread_id,
            status="completed",
            completed_at=now,
            role=request.role,
            content=_blocks(request.content),
            attachments=request.attachments or [],
            metadata=request.metadata or {},
        )

    def messages(
        self, requests: Sequence[CreateMessage], *, thread_id: str, now: int, named: str
    ) -> list[Message]:
        """New messages given as the list `named`. Raises Problem where there are too many."""
        limit = self._settings.messages_per_create_max
        if len(requests) > limit:
            raise Problem(ARRAY_TOO_LONG, param=named, name=named, limit=limit, got=len(requests))
        return [
            self.message(request, thread_id=thread_id, now=now, within=f"{named}[{index}].")
            for index, request in enumerate(requests)
        ]

    def _hold_text(self, content: RequestContent, name: str) -> None:
        limit = self._settings.message_characters_max
        length = len(content) if isinstance(content, str) else sum(map(_length, content))
        if length > limit:
            raise Problem(STRING_TOO_LONG, param=name, name=name, limit=limit, got=length)


def _length(block: RequestContentBlock) -> int:
    return len(block.text) if isinstance(block, TextContentBlockParam) else 0


def _blocks(content: RequestContent) -> list[MessageContent]:
    if isinstance(content, str):
        return [_text(content)]
    return [
        _text(block.text) if isinstance(block, TextContentBlockParam) else block
        for block in content
    ]


def _text(value: str) -> TextContentBlock:
    return TextContentBlock(text=Text(value=value))
