"""Usage on streams: always asked of the server, shown only to a client that asked too."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from msgspec import Raw

INCLUDE = Raw(b'{"include_usage":true}')


class _Chunk(msgspec.Struct):
    choices: list[Raw] | None = None
    usage: Raw = Raw(b"null")


_decode_options = msgspec.json.Decoder(dict[str, Raw] | None).decode
_decode_chunk = msgspec.json.Decoder(_Chunk).decode


def with_usage(fields: Mapping[str, Raw]) -> tuple[dict[str, Raw], bool]:
    """The request's fields asking for usage, and whether the client had asked."""
    given = fields.get("stream_options")
    try:
        options = _decode_options(given) if given is not None else None
    except msgspec.DecodeError:
        # Not an object: the server shall say so.
        return dict(fields), True
    if not options:
        return {**fields, "stream_options": INCLUDE}, False
    asked = bytes(options.get("include_usage", b"")) == b"true"
    options["include_usage"] = Raw(b"true")
    return {**fields, "stream_options": Raw(msgspec.json.encode(options))}, asked


def without_usage(events: bytes) -> bytes:
    """The events without the one that carries only usage."""
    if b'"choices":[]' not in events and b'"choices": []' not in events:
        return events
    kept = [event + b"\n\n" for event in events.split(b"\n\n") if event and not _is_usage(event)]
    return b"".join(kept)


def with_null_usage(events: bytes) -> bytes:
    """The events with a `usage` of null in each chunk that has none, as OpenAI's chunks have it.

    Bytes and not decoded JSON: a quote inside a JSON text is escaped, so `"usage"` is the key.
    """
    return b"".join(_with_null(event) + b"\n\n" for event in events.split(b"\n\n") if event)


def _with_null(event: bytes) -> bytes:
    if b'"usage"' in event or not (event.startswith(b"data:") and event.endswith(b"}")):
        return event
    return event[:-1] + b',"usage":null}'


def _is_usage(event: bytes) -> bool:
    if not event.startswith(b"data:"):
        return False
    try:
        chunk = _decode_chunk(event[5:])
    except ValueError:
        return False
    return chunk.choices == [] and bytes(chunk.usage) != b"null"
