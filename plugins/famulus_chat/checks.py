"""What a request must say before a model is asked, in OpenAI's words; the rest is the model's."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from msgspec import Raw

from famulus import Problem
from famulus_schemas.errors import EMPTY_ARRAY, INVALID_TYPE, MISSING_PARAMETER
from famulus_schemas.inference import Endpoint, RelayRequest

_SHAPES = {
    b'"': "a string",
    b"{": "an object",
    b"[": "an array",
    b"t": "a boolean",
    b"f": "a boolean",
    b"n": "null",
}
_NULL = b"null"
_DOCUMENT_BEGIN = Raw(b'"<|endoftext|>"')


def checked(
    endpoint: Endpoint, fields: Mapping[str, Raw], *, needs: tuple[str, ...], request_id: str
) -> RelayRequest:
    """The request to pass on; one of `needs` must be there. Raises Problem."""
    if not any(_is_there(fields, name) for name in needs):
        raise Problem(MISSING_PARAMETER, param=needs[0], name=needs[0])
    return RelayRequest(
        endpoint=endpoint,
        model=_model(fields),
        stream=endpoint != "embeddings" and _stream(fields),
        fields=fields,
        request_id=request_id,
    )


def refuse_no_messages(fields: Mapping[str, Raw]) -> None:
    """Raise Problem where `messages` is not an array of at least one."""
    raw = fields.get("messages")
    if raw is None:
        return
    _expect(raw, b"[", "messages", "an array")
    # Only its beginning is looked at: a conversation can be megabytes.
    if bytes(memoryview(raw)[1:64]).lstrip()[:1] == b"]":
        raise Problem(EMPTY_ARRAY, param="messages", name="messages", limit=1)


def with_prompt(fields: Mapping[str, Raw]) -> Mapping[str, Raw]:
    """The same, with the prompt that OpenAI's API takes null for: a new document's beginning."""
    if "prompt" not in fields or _is_there(fields, "prompt") or _is_there(fields, "prompt_embeds"):
        return fields
    return {**fields, "prompt": _DOCUMENT_BEGIN}


def _model(fields: Mapping[str, Raw]) -> str:
    if not _is_there(fields, "model"):
        raise Problem(MISSING_PARAMETER, param="model", name="model")
    _expect(fields["model"], b'"', "model", "a string")
    return msgspec.json.decode(fields["model"], type=str)


def _stream(fields: Mapping[str, Raw]) -> bool:
    raw = bytes(fields.get("stream", _NULL))
    if raw not in (b"true", b"false", _NULL):
        _expect(Raw(raw), b"t", "stream", "a boolean")
    return raw == b"true"


def _is_there(fields: Mapping[str, Raw], name: str) -> bool:
    raw = fields.get(name)
    return raw is not None and bytes(memoryview(raw)[:4]) != _NULL


def _expect(raw: Raw, first: bytes, name: str, expected: str) -> None:
    found = bytes(memoryview(raw)[:1])
    if found != first:
        got = _SHAPES.get(found) or ("a decimal" if b"." in bytes(raw) else "an integer")
        raise Problem(INVALID_TYPE, param=name, name=name, expected=expected, got=got)
