"""Pictures in requests, so that models that cannot see them are not asked."""

from __future__ import annotations

import msgspec
from msgspec import Raw

from famulus_schemas.inference import (
    CANNOT_SEE,
    BackendFault,
    ChatRequest,
    ImageContent,
    RelayRequest,
)

_MARK = b'"image_url"'
"""In JSON, quotes around it are those of a key or of a whole string."""


class _Part(msgspec.Struct):
    type: str | None = None


class _Message(msgspec.Struct):
    content: Raw = Raw(b"null")


def has_images(request: ChatRequest) -> bool:
    """Whether a typed request shows the model a picture."""
    return any(
        isinstance(part, ImageContent)
        for message in request.messages
        if not isinstance(message.content, str)
        for part in message.content or ()
    )


def relays_images(request: RelayRequest) -> bool:
    """Whether a client's own request shows the model a picture."""
    raw = request.fields.get("messages") if request.endpoint == "chat/completions" else None
    if raw is None or _MARK not in bytes(raw):
        return False
    try:
        contents = [each.content for each in msgspec.json.decode(raw, type=list[_Message])]
        parts = [msgspec.json.decode(content, type=list[_Part]) for content in _lists(contents)]
    except (ValueError, RecursionError):
        # What is no list of messages is the model server's to refuse.
        return False
    return any(part.type == "image_url" for listed in parts for part in listed)


def _lists(contents: list[Raw]) -> list[Raw]:
    return [content for content in contents if bytes(memoryview(content)[:1]) == b"["]


def cannot_see(backend: str) -> BackendFault:
    """The fault of a model that is known to see nothing."""
    return BackendFault(
        "refused", "it cannot be shown pictures", backend=backend, status=400, code=CANNOT_SEE
    )
