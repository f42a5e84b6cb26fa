"""The shape that an answer's text must have: `response_format`."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from msgspec import UNSET, Meta, UnsetType

from famulus_schemas.wire import Identifier, JsonObject, Request


class ResponseFormatText(Request, frozen=True, kw_only=True, tag_field="type", tag="text"):
    """Plain text."""


class ResponseFormatJsonObject(
    Request, frozen=True, kw_only=True, tag_field="type", tag="json_object"
):
    """Some JSON object; the prompt says which."""


class JsonSchema(Request, frozen=True, kw_only=True):
    """A named JSON Schema that the answer must satisfy."""

    name: Identifier
    description: str | UnsetType = UNSET
    schema: JsonObject | UnsetType = UNSET
    strict: Annotated[bool, Meta(description="Hold the model to the schema.")] | None = False


class ResponseFormatJsonSchema(
    Request, frozen=True, kw_only=True, tag_field="type", tag="json_schema"
):
    """JSON that satisfies a schema."""

    json_schema: JsonSchema


ResponseFormat: TypeAlias = (
    Literal["auto"] | ResponseFormatText | ResponseFormatJsonObject | ResponseFormatJsonSchema
)
