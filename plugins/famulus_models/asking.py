"""A client's request read into typed questions, for backends that take no other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Raw

from famulus import Problem
from famulus.validation import check
from famulus_schemas.embeddings import CreateEmbedding, embedding_inputs
from famulus_schemas.errors import INVALID, NOT_SUPPORTED
from famulus_schemas.inference import ChatRequest, PromptMessage, RelayRequest

_NULL = b"null"
_UNTYPED = ("custom", "file", "function", "input_audio", "refusal")
"""Kinds of tools, of content and of roles that OpenAI's API has and typed questions do not."""


def read_chat(request: RelayRequest, backend: str) -> ChatRequest:
    """The chat that a request for `chat/completions` or `completions` asks for. Raises Problem."""
    fields = {name: raw for name, raw in request.fields.items() if bytes(raw) != _NULL}
    _refuse_more_than_one(fields, request.model, backend)
    if request.endpoint == "completions":
        fields["messages"] = _messages_of_prompt(fields, request.model, backend)
    limit = fields.get("max_completion_tokens") or fields.get("max_tokens")
    if limit is not None:
        fields["max_tokens"] = limit
    known = {name: fields[name] for name in ChatRequest.__struct_fields__ if name in fields}
    try:
        return msgspec.json.decode(msgspec.json.encode(known), type=ChatRequest)
    except msgspec.ValidationError as error:
        problem = _explained(error, known, ChatRequest)
        if any(problem.body.message.startswith(f"Invalid value: '{kind}'.") for kind in _UNTYPED):
            param = problem.body.param or "messages"
            raise _unsupported(param, f"what '{param}' names", request.model, backend) from error
        raise problem from error


def read_embedding(request: RelayRequest, backend: str) -> tuple[CreateEmbedding, list[str]]:
    """What a request for `embeddings` asks for, and its texts. Raises Problem."""
    fields = {name: raw for name, raw in request.fields.items() if bytes(raw) != _NULL}
    known = {name: fields[name] for name in CreateEmbedding.__struct_fields__ if name in fields}
    try:
        asked = msgspec.json.decode(msgspec.json.encode(known), type=CreateEmbedding)
    except msgspec.ValidationError as error:
        raise _explained(error, known, CreateEmbedding) from error
    inputs = embedding_inputs(asked.input)
    if inputs is None:
        raise Problem(INVALID, param="input", name="input", reason="it mixes texts and tokens")
    texts = [one for one in inputs if isinstance(one, str)]
    if len(texts) != len(inputs):
        raise _unsupported("input", "input given as tokens", request.model, backend)
    return asked, texts


def wants_usage(request: RelayRequest) -> bool:
    """Whether a streamed answer shall end with usage."""
    options = _read(request.fields, "stream_options")
    return isinstance(options, dict) and options.get("include_usage") is True


def _refuse_more_than_one(fields: Mapping[str, Raw], model: str, backend: str) -> None:
    for name in ("n", "best_of"):
        if _read(fields, name) not in (None, 1):
            raise _unsupported(name, f"{name} above 1", model, backend)
    if _read(fields, "logprobs") not in (None, False):
        raise _unsupported("logprobs", "logprobs", model, backend)


def _messages_of_prompt(fields: Mapping[str, Raw], model: str, backend: str) -> Raw:
    prompt = _read(fields, "prompt")
    if isinstance(prompt, list) and len(prompt) == 1:
        prompt = prompt[0]
    if not isinstance(prompt, str):
        raise _unsupported("prompt", "a prompt that is not one text", model, backend)
    return Raw(msgspec.json.encode([PromptMessage(role="user", content=prompt)]))


def _read(fields: Mapping[str, Raw], name: str) -> Any:
    raw = fields.get(name)
    return None if raw is None else msgspec.json.decode(raw)


def _unsupported(param: str, what: str, model: str, backend: str) -> Problem:
    return Problem(NOT_SUPPORTED, param=param, model=model, backend=backend, what=what)


def _explained(
    error: msgspec.ValidationError, known: Mapping[str, Raw], kind: type[msgspec.Struct]
) -> Problem:
    """What is wrong with a request, in OpenAI's words."""
    try:
        check(msgspec.json.decode(msgspec.json.encode(known)), kind)
    except Problem as problem:
        return problem
    return Problem(INVALID, param="body", name="body", reason=str(error))
