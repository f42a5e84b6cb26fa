"""What every wire struct shares: two bases, the limited types, and the list query."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

from msgspec import UNSET, Meta, Struct
from msgspec.structs import fields


class Request(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A body that a client sends: a key that we do not know is refused, never ignored."""


class Answer(Struct, frozen=True, kw_only=True):
    """An object that we send: every field is sent, but for one whose default is `UNSET`."""


def always_sent(answer: type[Answer]) -> tuple[str, ...]:
    """Name the fields that are present in every encoding of this answer."""
    return tuple(f.encode_name for f in fields(answer) if f.default is not UNSET)


UnixSeconds: TypeAlias = Annotated[
    int,
    Meta(description="Seconds since 1970-01-01 UTC.", extra_json_schema={"format": "unixtime"}),
]

MetadataKey: TypeAlias = Annotated[str, Meta(min_length=1, max_length=64)]
MetadataValue: TypeAlias = Annotated[str, Meta(max_length=512)]
Metadata: TypeAlias = Annotated[
    dict[MetadataKey, MetadataValue],
    Meta(max_length=16, description="Up to 16 notes of your own, text by name."),
]

ModelName: TypeAlias = Annotated[
    str, Meta(min_length=1, description="A model, or another name for one, that is listed.")
]
Temperature: TypeAlias = Annotated[
    float, Meta(ge=0, le=2, description="How freely to sample: 0 is the most predictable.")
]
TopP: TypeAlias = Annotated[
    float, Meta(ge=0, le=1, description="Sample only from this much of the probability.")
]

# A JSON Schema written by the user. Its keys are the user's own, so it stays a plain object.
JsonObject: TypeAlias = dict[str, Any]

# Python's `$` also matches before a last newline; the look-ahead keeps that newline out and
# still reads as an ECMA expression, which is what a JSON Schema promises.
Identifier: TypeAlias = Annotated[
    str, Meta(min_length=1, max_length=64, pattern=r"^[a-zA-Z0-9_-]+(?!\n)$")
]
# Python's `\s` and ECMA's differ in control characters and U+FEFF, so those are named, too.
Uri: TypeAlias = Annotated[
    str,
    Meta(
        pattern=r"^[a-zA-Z][a-zA-Z0-9+.-]*:[^\s\x00-\x1f\x7f-\x9f\ufeff]+(?!\n)$",
        extra_json_schema={"format": "uri"},
    ),
]

FILE_MARK = "is_file"
FileField: TypeAlias = Annotated[
    str, Meta(extra={FILE_MARK: True}, extra_json_schema={"format": "binary"})
]
"""A file in a form. Decoded, it is the name that the client gave the file, be it empty."""

TokenIds: TypeAlias = Annotated[list[int], Meta(min_length=1, description="One text, in tokens.")]

ReasoningEffort: TypeAlias = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]
Role: TypeAlias = Literal["user", "assistant"]
Order: TypeAlias = Literal["asc", "desc"]
PageLimit: TypeAlias = Annotated[int, Meta(ge=1, le=100, description="How many to return.")]
Cursor: TypeAlias = Annotated[str, Meta(description="The id of an object in this list.")]


class ListQuery(Struct, frozen=True, kw_only=True):
    """Which page of a list to return: newest first unless asked otherwise."""

    limit: PageLimit = 20
    order: Order = "desc"
    after: Cursor | None = None
    before: Cursor | None = None
