"""Values made from a JSON Schema satisfy it, by the judgement of other validators."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import jsonschema_rs
import pytest

from famulus_builtin.refs import SchemaUnusable
from famulus_builtin.schema import example

FORMATS = ["date", "date-time", "time", "email", "uri", "uuid", "ipv4", "ipv6", "hostname"]


def is_valid(schema: Any, value: Any) -> bool:
    validator = jsonschema.Draft202012Validator(
        schema, format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER
    )
    strict = jsonschema_rs.Draft202012Validator(schema, validate_formats=True)
    return bool(validator.is_valid(value)) and strict.is_valid(value)


LINKED = {
    "$defs": {
        "node": {
            "type": "object",
            "properties": {
                "value": {"type": "integer", "minimum": 3},
                "next": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]},
            },
            "required": ["value", "next"],
            "additionalProperties": False,
        }
    },
    "$ref": "#/$defs/node",
}


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"type": "string"}, "text"),
        ({"type": "integer"}, 0),
        ({"type": "integer", "minimum": 5}, 5),
        ({"type": "integer", "exclusiveMinimum": 5}, 6),
        ({"type": "integer", "maximum": -2}, -2),
        ({"type": "integer", "multipleOf": 7, "minimum": 10}, 14),
        ({"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1}, 0.5),
        ({"type": "number", "multipleOf": 0.25, "minimum": 0.3}, 0.5),
        ({"type": "boolean"}, False),
        ({"type": "null"}, None),
        ({"const": {"a": [1]}}, {"a": [1]}),
        ({"enum": ["red", "green"]}, "red"),
        ({"enum": [1, "one", None], "type": "string"}, "one"),
        ({"type": ["null", "string"], "minLength": 1}, None),
        ({"type": "string", "minLength": 6}, "text.."),
        ({"type": "string", "maxLength": 2}, "te"),
        ({"type": "string", "format": "date"}, "2000-01-01"),
        ({"type": "object"}, {}),
        ({"type": "object", "properties": {"a": {"type": "string"}}}, {}),
        ({"properties": {"a": {"type": "string"}}, "required": ["a"]}, {"a": "text"}),
        ({"type": "object", "required": ["free"]}, {"free": "text"}),
        ({"type": "object", "minProperties": 1, "properties": {"a": {"const": 1}}}, {"a": 1}),
        (
            {
                "type": "object",
                "required": ["a"],
                "properties": {"a": {"const": 1}, "b": {"const": 2}},
                "dependentRequired": {"a": ["b"]},
            },
            {"a": 1, "b": 2},
        ),
        ({"type": "array"}, []),
        ({"type": "array", "items": {"type": "integer"}, "minItems": 2}, [0, 0]),
        ({"type": "array", "items": {"type": "boolean"}, "minItems": 2, "uniqueItems": True}, None),
        ({"type": "array", "prefixItems": [{"const": 1}, {"const": 2}], "minItems": 2}, [1, 2]),
        (
            {
                "type": "array",
                "contains": {"const": 5},
                "minItems": 2,
                "items": {"type": "integer"},
            },
            None,
        ),
        ({"anyOf": [{"type": "string", "maxLength": 0}, {"type": "integer"}]}, ""),
        ({"oneOf": [{"type": "integer"}, {"type": "number"}]}, 0.5),
        ({"allOf": [{"minimum": 3}, {"type": "integer"}, {"minimum": 9}]}, 9),
        ({"allOf": [{"type": ["integer", "string"]}, {"type": "number"}]}, 0),
        ({"allOf": [{"type": "number"}, {"type": "integer"}]}, 0),
        ({"allOf": [{"enum": [1, 2, 3]}, {"enum": [2, 3, 4]}]}, 2),
        ({"allOf": [{"maxLength": 9, "type": "string"}, {"maxLength": 2}]}, "te"),
        (
            {
                "allOf": [
                    {"type": "object", "properties": {"a": {"minimum": 2}}, "required": ["a"]},
                    {
                        "properties": {"a": {"type": "integer"}, "b": {"const": 1}},
                        "required": ["b"],
                    },
                ]
            },
            {"a": 2, "b": 1},
        ),
        (
            {
                "allOf": [
                    {"type": "array", "items": {"minimum": 2}, "minItems": 2},
                    {"items": {"type": "integer"}, "uniqueItems": True},
                    {"uniqueItems": False},
                ]
            },
            [2, 3],
        ),
        ({"not": {"type": "string"}}, None),
        (LINKED, {"value": 3, "next": None}),
        ({"definitions": {"a/b": {"const": 1}}, "$ref": "#/definitions/a~1b"}, 1),
        (True, "text"),
        ({}, "text"),
    ],
)
def test_an_example_is_valid_and_plain(schema: Any, value: Any) -> None:
    made = example(schema)
    assert is_valid(schema, made)
    assert value is None or json.dumps(made) == json.dumps(value)


@pytest.mark.parametrize("name", FORMATS)
def test_an_example_has_the_format(name: str) -> None:
    schema = {"type": "array", "items": {"type": "string", "format": name}, "minItems": 3}
    unique = example({**schema, "uniqueItems": True})
    assert is_valid(schema, unique)
    assert len(set(unique)) == 3


CIRCLE: dict[str, Any] = {"$ref": "#"}
BOMB: dict[str, Any] = {
    "$ref": "#/$defs/a0",
    "$defs": {
        **{f"a{n}": {"oneOf": [{"$ref": f"#/$defs/a{n + 1}"}] * 2} for n in range(30)},
        "a30": {"type": "string"},
    },
}
WIDE: dict[str, Any] = {"type": "string"}
for _ in range(4):
    WIDE = {"type": "array", "items": WIDE, "minItems": 4000}


@pytest.mark.parametrize(
    ("schema", "reason"),
    [
        (False, "no value was found"),
        ({"type": "integer", "minimum": 5, "maximum": 3}, "no value was found"),
        ({"type": "object", "required": ["me"], "properties": {"me": {"$ref": "#"}}}, "no value"),
        (CIRCLE, "in a circle"),
        (BOMB, "more than"),
        (WIDE, "more than"),
        ({"type": "string", "minLength": 10**9}, "over 4096"),
        ({"$ref": "https://example.com/schema"}, "only references within"),
        ({"$ref": "#/$defs/none"}, "nothing at"),
        ({"allOf": 3}, "expected a list"),
        ("text", "must be an object or a boolean"),
        ({"type": "string", "minLength": "5"}, "not a valid JSON Schema"),
        ({"properties": 5, "type": "object"}, "not a valid JSON Schema"),
    ],
)
def test_a_schema_that_cannot_be_filled_is_an_error_that_says_why(schema: Any, reason: str) -> None:
    with pytest.raises(SchemaUnusable, match=reason):
        example(schema)


def test_equal_schemas_give_equal_values() -> None:
    schema = {"anyOf": [LINKED["$defs"], {"type": "array", "minItems": 1}]}
    assert example({"type": "array", "minItems": 3}) == example({"type": "array", "minItems": 3})
    assert json.dumps(example(schema)) == json.dumps(example(schema))
