"""Scripted answers as bytes: chat completions as vLLM writes them, whole or streamed."""

from __future__ import annotations

import base64
import struct
from collections.abc import Sequence
from typing import Any

import msgspec

from famulus.sse import encode_event
from famulus_schemas.inference import ChatChunk, TokenUsage, ToolCallDelta

CREATED = 1_700_000_000
"""Every answer was made at this second, so that streams are equal to the byte."""


class WireForm(msgspec.Struct, frozen=True, kw_only=True):
    """What a client's request says about the form of its answer."""

    model: str
    number: int
    legacy: bool = False
    """An answer to `completions`: text where a chat has messages."""
    stream: bool = False
    include_usage: bool = False
    nulls: bool = False

    @property
    def id(self) -> str:
        """The completion's id."""
        return f"{'cmpl' if self.legacy else 'chatcmpl'}-scripted-{self.number}"

    def event(self, chunk: ChatChunk, *, first: bool) -> bytes:
        """One chunk as the events that carry it."""
        delta = {} if self.legacy else _delta(chunk, nulls=self.nulls)
        if first and not self.legacy:
            delta = {"role": "assistant", "content": "", **delta}
        body: dict[str, Any] = {"index": 0, "finish_reason": chunk.finish_reason, "logprobs": None}
        body |= {"text": chunk.content} if self.legacy else {"delta": delta}
        sent = encode_event(self._json("chunk", choices=[body]))
        if chunk.usage is not None and self.include_usage:
            sent += encode_event(self._json("chunk", choices=[], usage=_usage(chunk.usage)))
        return sent

    def whole(self, chunks: Sequence[ChatChunk]) -> bytes:
        """All chunks as one answer."""
        choice: dict[str, Any] = {
            "index": 0,
            "finish_reason": chunks[-1].finish_reason,
            "logprobs": None,
        }
        if self.legacy:
            choice["text"] = "".join(chunk.content for chunk in chunks)
        else:
            choice["message"] = _message(chunks, nulls=self.nulls)
        usage = chunks[-1].usage
        extra = {"usage": _usage(usage)} if usage is not None else {}
        return self._json("", choices=[choice], **extra)

    def _json(self, suffix: str, **fields: Any) -> bytes:
        kind = "text_completion" if self.legacy else "chat.completion"
        if suffix and not self.legacy:
            kind += f".{suffix}"
        head = {"id": self.id, "object": kind, "created": CREATED, "model": self.model}
        return msgspec.json.encode(head | fields)


def embeddings(model: str, vectors: Sequence[Sequence[float]], *, as_base64: bool) -> bytes:
    """The answer of the embeddings endpoint."""
    data = [
        {
            "object": "embedding",
            "index": index,
            "embedding": _packed(vector) if as_base64 else vector,
        }
        for index, vector in enumerate(vectors)
    ]
    usage = {"prompt_tokens": len(vectors), "total_tokens": len(vectors)}
    return msgspec.json.encode({"object": "list", "data": data, "model": model, "usage": usage})


def _packed(vector: Sequence[float]) -> str:
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()


def _delta(chunk: ChatChunk, *, nulls: bool) -> dict[str, Any]:
    delta: dict[str, Any] = dict.fromkeys(("content", "refusal", "tool_calls")) if nulls else {}
    if chunk.content:
        delta["content"] = chunk.content
    if chunk.refusal:
        delta["refusal"] = chunk.refusal
    if chunk.reasoning:
        delta["reasoning"] = chunk.reasoning
        delta["reasoning_content"] = chunk.reasoning
    if chunk.tool_calls:
        delta["tool_calls"] = [_call_delta(call) for call in chunk.tool_calls]
    return delta


def _call_delta(call: ToolCallDelta) -> dict[str, Any]:
    if call.name is None:
        return {"index": call.index, "function": {"arguments": call.arguments}}
    return {
        "index": call.index,
        "id": call.id,
        "type": "function",
        "function": {"name": call.name, "arguments": call.arguments},
    }


def _message(chunks: Sequence[ChatChunk], *, nulls: bool) -> dict[str, Any]:
    content = "".join(chunk.content for chunk in chunks)
    refusal = "".join(chunk.refusal for chunk in chunks)
    reasoning = "".join(chunk.reasoning for chunk in chunks)
    calls = _calls([delta for chunk in chunks for delta in chunk.tool_calls])
    message: dict[str, Any] = {"role": "assistant", "content": content or None}
    if not (content or refusal or calls):
        message["content"] = ""
    if refusal or nulls:
        message["refusal"] = refusal or None
    if reasoning:
        message |= {"reasoning": reasoning, "reasoning_content": reasoning}
    # vLLM leaves the key out where there are no calls, and clients have tripped over it.
    if calls or nulls:
        message["tool_calls"] = calls or None
    return message


def _calls(deltas: Sequence[ToolCallDelta]) -> list[dict[str, Any]]:
    calls: dict[int, dict[str, Any]] = {}
    for delta in deltas:
        if delta.name is not None:
            function = {"name": delta.name, "arguments": ""}
            calls[delta.index] = {"id": delta.id, "type": "function", "function": function}
        calls[delta.index]["function"]["arguments"] += delta.arguments
    return [calls[index] for index in sorted(calls)]


def _usage(usage: TokenUsage) -> dict[str, Any]:
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.total_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_tokens},
    }
