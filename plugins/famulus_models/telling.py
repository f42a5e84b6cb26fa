"""Typed answers written as the JSON of OpenAI's chat, completions and embeddings."""

from __future__ import annotations

import base64
import struct
from collections.abc import Sequence
from typing import Protocol

import msgspec
from msgspec import UNSET

from famulus import encode_event
from famulus_schemas.chat import (
    ChatChoice,
    ChatChunkChoice,
    ChatCompletion,
    ChatCompletionChunk,
    ChatDelta,
    ChatFunctionCall,
    ChatFunctionCallDelta,
    ChatMessage,
    ChatToolCall,
    ChatToolCallDelta,
    CompletionUsage,
    PromptTokensDetails,
)
from famulus_schemas.completions import Completion, CompletionChoice
from famulus_schemas.embeddings import Embedding, EmbeddingList, EmbeddingUsage
from famulus_schemas.inference import ChatChunk, TokenUsage, ToolCallDelta


class Form(Protocol):
    """How one endpoint writes an answer."""

    def event(self, chunk: ChatChunk) -> bytes:
        """What a chunk adds, as an event."""
        ...

    def usage(self, usage: TokenUsage) -> bytes:
        """The event that carries only usage."""
        ...

    def whole(self, chunks: Sequence[ChatChunk]) -> bytes:
        """All chunks as one body."""
        ...


class ChatForm:
    """As `chat/completions` writes."""

    def __init__(self, *, id: str, created: int, model: str) -> None:
        self._id = id
        self._created = created
        self._model = model
        self._begun = False

    def event(self, chunk: ChatChunk) -> bytes:
        """What a chunk adds, as an event; the first names the role."""
        delta = ChatDelta(
            role=UNSET if self._begun else "assistant",
            content=chunk.content if chunk.content or not self._begun else UNSET,
            refusal=chunk.refusal or UNSET,
            tool_calls=[_call_delta(call) for call in chunk.tool_calls] or UNSET,
            reasoning_content=chunk.reasoning or UNSET,
        )
        self._begun = True
        return self._event([ChatChunkChoice(delta=delta, finish_reason=chunk.finish_reason)])

    def usage(self, usage: TokenUsage) -> bytes:
        """The event that carries only usage."""
        return self._event([], usage)

    def whole(self, chunks: Sequence[ChatChunk]) -> bytes:
        """All chunks as one body."""
        calls = _calls([delta for chunk in chunks for delta in chunk.tool_calls])
        content = "".join(chunk.content for chunk in chunks)
        message = ChatMessage(
            content=content or (None if calls else ""),
            refusal="".join(chunk.refusal for chunk in chunks) or None,
            tool_calls=calls or UNSET,
            reasoning_content="".join(chunk.reasoning for chunk in chunks) or UNSET,
        )
        choice = ChatChoice(message=message, finish_reason=_reason(chunks))
        return msgspec.json.encode(
            ChatCompletion(
                id=self._id,
                created=self._created,
                model=self._model,
                choices=[choice],
                usage=_last_usage(chunks),
            )
        )

    def _event(self, choices: list[ChatChunkChoice], usage: TokenUsage | None = None) -> bytes:
        chunk = ChatCompletionChunk(
            id=self._id,
            created=self._created,
            model=self._model,
            choices=choices,
            usage=_usage(usage) if usage else UNSET,
        )
        return encode_event(msgspec.json.encode(chunk))


class CompletionForm:
    """As `completions` writes: the text without roles, calls or reasoning."""

    def __init__(self, *, id: str, created: int, model: str) -> None:
        self._id = id
        self._created = created
        self._model = model

    def event(self, chunk: ChatChunk) -> bytes:
        """What a chunk adds, as an event."""
        return encode_event(self._json(chunk.content, chunk.finish_reason))

    def usage(self, usage: TokenUsage) -> bytes:
        """The event that carries only usage."""
        return encode_event(self._encoded([], _usage(usage)))

    def whole(self, chunks: Sequence[ChatChunk]) -> bytes:
        """All chunks as one body."""
        choice = CompletionChoice(
            text="".join(chunk.content for chunk in chunks), finish_reason=_reason(chunks)
        )
        return self._encoded([choice], _last_usage(chunks))

    def _json(self, text: str, reason: str | None) -> bytes:
        return self._encoded([CompletionChoice(text=text, finish_reason=reason)], UNSET)

    def _encoded(
        self, choices: list[CompletionChoice], usage: CompletionUsage | msgspec.UnsetType
    ) -> bytes:
        return msgspec.json.encode(
            Completion(
                id=self._id,
                created=self._created,
                model=self._model,
                choices=choices,
                usage=usage,
            )
        )


def embeddings(
    model: str, vectors: Sequence[Sequence[float]], *, as_base64: bool, tokens: int
) -> bytes:
    """As `embeddings` writes."""
    data = [
        Embedding(index=index, embedding=_packed(vector) if as_base64 else list(vector))
        for index, vector in enumerate(vectors)
    ]
    usage = EmbeddingUsage(prompt_tokens=tokens, total_tokens=tokens)
    return msgspec.json.encode(EmbeddingList(data=data, model=model, usage=usage))


def _packed(vector: Sequence[float]) -> str:
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()


def _call_delta(call: ToolCallDelta) -> ChatToolCallDelta:
    function = ChatFunctionCallDelta(name=call.name or UNSET, arguments=call.arguments)
    if call.id is None:
        return ChatToolCallDelta(index=call.index, function=function)
    return ChatToolCallDelta(index=call.index, id=call.id, type="function", function=function)


def _calls(deltas: Sequence[ToolCallDelta]) -> list[ChatToolCall]:
    parts: dict[int, list[ToolCallDelta]] = {}
    for delta in deltas:
        parts.setdefault(delta.index, []).append(delta)
    return [
        ChatToolCall(
            id=next((delta.id for delta in parts[index] if delta.id), None),
            function=ChatFunctionCall(
                name=next((delta.name for delta in parts[index] if delta.name), ""),
                arguments="".join(delta.arguments for delta in parts[index]),
            ),
        )
        for index in sorted(parts)
    ]


def _reason(chunks: Sequence[ChatChunk]) -> str | None:
    return next((chunk.finish_reason for chunk in reversed(chunks) if chunk.finish_reason), None)


def _last_usage(chunks: Sequence[ChatChunk]) -> CompletionUsage | msgspec.UnsetType:
    return next((_usage(chunk.usage) for chunk in reversed(chunks) if chunk.usage), UNSET)


def _usage(usage: TokenUsage) -> CompletionUsage:
    return CompletionUsage(
        prompt_tokens=usage.prompt_tokens,
        completion_tokens=usage.completion_tokens,
        total_tokens=usage.total_tokens,
        prompt_tokens_details=PromptTokensDetails(cached_tokens=usage.cached_tokens),
    )
