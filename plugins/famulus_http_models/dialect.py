"""What a kind of server understands beyond OpenAI's API, or calls by another name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import msgspec

from famulus_schemas.inference import BackendFault, ChatRequest, PromptMessage

STREAM_KEYS = b',"stream":true,"stream_options":{"include_usage":true}}'


class Caller(Protocol):
    """How a dialect asks its server a small question of its own."""

    name: str

    async def ask_own(self, path: str, body: bytes | None) -> bytes:
        """What the server answers at a path beside its API. Raises BackendFault."""
        ...


class Dialect(Protocol):
    """One kind of server."""

    name: str

    def chat_body(self, request: ChatRequest) -> bytes:
        """The body that asks for a streamed chat with usage."""
        ...

    async def count_tokens(self, caller: Caller, model: str, texts: Sequence[str]) -> list[int]:
        """Tokens of each text. Raises BackendFault."""
        ...


class OpenAIDialect:
    """OpenAI's API and nothing else."""

    name = "openai"

    def __init__(self, limit_field: str = "max_tokens") -> None:
        self._limit_field = limit_field

    def chat_body(self, request: ChatRequest) -> bytes:
        """The body, less what others than vLLM refuse."""
        request = msgspec.structs.replace(request, priority=None, messages=plain_roles(request))
        limit = request.max_tokens
        if limit is None or self._limit_field == "max_tokens":
            return streamed(msgspec.json.encode(request))
        body = msgspec.json.encode(msgspec.structs.replace(request, max_tokens=None))
        return streamed(body[:-1] + f',"{self._limit_field}":{limit}}}'.encode())

    async def count_tokens(self, caller: Caller, model: str, texts: Sequence[str]) -> list[int]:
        """There is nothing to ask."""
        raise BackendFault(
            "unsupported",
            "it cannot count tokens; set the server's tokenizer to have exact counts",
            backend=caller.name,
        )


def streamed(body: bytes) -> bytes:
    """The same JSON object, asking for a stream with usage."""
    return body[:-1] + STREAM_KEYS


def plain_roles(request: ChatRequest) -> tuple[PromptMessage, ...]:
    """The messages in the roles that every chat template knows."""
    if all(message.role != "developer" for message in request.messages):
        return request.messages
    return tuple(
        msgspec.structs.replace(message, role="system") if message.role == "developer" else message
        for message in request.messages
    )
