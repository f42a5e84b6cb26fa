"""`response_format` in its four shapes."""

from __future__ import annotations

from typing import Any

import pytest

from famulus_schemas.formats import (
    JsonSchema,
    ResponseFormat,
    ResponseFormatJsonObject,
    ResponseFormatJsonSchema,
    ResponseFormatText,
)


def test_the_tag_chooses_the_format(accepts: Any) -> None:
    assert accepts(ResponseFormat, "auto") == "auto"
    assert accepts(ResponseFormat, {"type": "text"}) == ResponseFormatText()
    assert accepts(ResponseFormat, {"type": "json_object"}) == ResponseFormatJsonObject()
    schema = {"type": "object", "$defs": {"deep": [1, None, 0.5]}}
    assert accepts(
        ResponseFormat,
        {"type": "json_schema", "json_schema": {"name": "city", "schema": schema}},
    ) == ResponseFormatJsonSchema(json_schema=JsonSchema(name="city", schema=schema))


@pytest.mark.parametrize(
    "body",
    [
        "text",
        None,
        {},
        {"type": "auto"},
        {"type": "xml"},
        {"type": "text", "strict": True},
        {"type": "json_schema"},
        {"type": "json_schema", "json_schema": {}},
        {"type": "json_schema", "json_schema": {"name": "two words"}},
        {"type": "json_schema", "json_schema": {"name": "x", "schema": []}},
        {"type": "json_schema", "json_schema": {"name": "x", "extra": 1}},
        {"type": "json_schema", "json_schema": {"name": "x", "description": None}},
    ],
)
def test_anything_else_is_refused(refuses: Any, body: object) -> None:
    refuses(ResponseFormat, body)


def test_strict_may_be_null_and_is_off_by_default(accepts: Any) -> None:
    assert accepts(JsonSchema, {"name": "x"}).strict is False
    assert accepts(JsonSchema, {"name": "x", "strict": None}).strict is None
    assert accepts(JsonSchema, {"name": "x", "strict": True}).strict is True
