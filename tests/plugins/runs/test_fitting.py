"""Whether arguments fit a schema, and what the model is told where they do not."""

from __future__ import annotations

from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from famulus_runs.fitting import misfit

WEATHER = {
    "type": "object",
    "properties": {
        "city": {"type": "string"},
        "days": {"type": "integer"},
        "unit": {"enum": ["celsius", "fahrenheit"]},
        "at": {"$ref": "#/$defs/Place"},
        "tags": {"type": "array", "items": {"type": "string"}},
        "note": {"type": ["string", "null"]},
        "when": {"anyOf": [{"type": "integer"}, {"type": "null"}]},
    },
    "required": ["city"],
    "additionalProperties": False,
    "$defs": {"Place": {"type": "object", "required": ["x"], "properties": {"x": {"const": 1}}}},
}


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ({"city": "Oslo"}, None),
        ({"city": "Oslo", "days": 2, "unit": "celsius", "tags": ["a"], "note": None}, None),
        ({"city": "Oslo", "days": 2.0, "when": None, "at": {"x": 1}}, None),
        ({}, "city is missing"),
        ({"city": 5}, "city must be a string, not an integer"),
        ({"city": None}, "city must be a string, not null"),
        ({"city": "Oslo", "days": "2"}, "days must be an integer, not a string"),
        ({"city": "Oslo", "days": 2.5}, "days must be an integer, not a number"),
        ({"city": "Oslo", "days": True}, "days must be an integer, not a boolean"),
        ({"city": "Oslo", "unit": "kelvin"}, 'unit must be one of ["celsius","fahrenheit"]'),
        ({"city": "Oslo", "tags": ["a", 2]}, "tags[1] must be a string, not an integer"),
        ({"city": "Oslo", "tags": "a"}, "tags must be an array, not a string"),
        ({"city": "Oslo", "note": 1}, "note must be a string or null, not an integer"),
        ({"city": "Oslo", "at": {}}, "at.x is missing"),
        ({"city": "Oslo", "at": {"x": True}}, "at.x must be one of [1]"),
        (
            {"city": "Oslo", "when": "now"},
            "when must be an integer, not a string or when must be null, not a string",
        ),
        (
            {"city": "Oslo", "mood": 1},
            "mood is not known; the names are: city, days, unit, at, tags, note, when",
        ),
        (["Oslo"], "the arguments must be an object, not an array"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(value: Any, told: str | None) -> None:
    assert misfit(value, WEATHER) == told


@pytest.mark.parametrize(
    "schema",
    [
        None,
        {},
        True,
        {"type": "strange"},
        {"type": 5},
        {"type": ["string", "strange"]},
        {"required": "city", "properties": [], "enum": "x", "anyOf": {}},
        {"required": [5]},
        {"$ref": "#/nowhere"},
        {"$ref": "https://example.com/schema"},
        {"$ref": "#"},
        {"properties": {"city": {"format": "date", "minLength": 50}}},
        {"additionalProperties": False, "patternProperties": {".*": {}}},
    ],
)
def test_what_is_no_schema_lets_everything_pass(schema: Any) -> None:
    assert misfit({"city": "Oslo"}, schema) is None


def test_a_schema_without_end_ends() -> None:
    endless = {"anyOf": [{"$ref": "#"}, {"$ref": "#"}], "allOf": [{"$ref": "#"}, {"$ref": "#"}]}
    assert misfit({"city": "Oslo"}, endless) is None


def test_a_value_of_any_depth_is_looked_into_as_far_as_the_limit() -> None:
    value: Any = 1
    for _ in range(10_000):
        value = [value]
    deep = {"items": {"$ref": "#"}, "type": "array"}
    assert misfit(value, deep) is None


small = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from(["a", "b", 1.0, 1.5]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "b", "c"]), inner)
    ),
    max_leaves=6,
)
types = st.sampled_from(["object", "array", "string", "boolean", "null", "integer", "number"])


def _grown(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    named = st.dictionaries(st.sampled_from(["a", "b"]), inner, max_size=2)
    return st.fixed_dictionaries(
        {},
        optional={
            "type": types | st.lists(types, min_size=1, max_size=2, unique=True),
            "properties": named,
            "required": st.lists(st.sampled_from(["a", "b"]), max_size=1),
            "additionalProperties": st.booleans(),
            "items": inner,
            "enum": st.lists(small, min_size=1, max_size=3),
            "anyOf": st.lists(inner, min_size=1, max_size=2),
            "allOf": st.lists(inner, min_size=1, max_size=2),
        },
    )


schemas = st.recursive(st.just({}) | types.map(lambda type: {"type": type}), _grown, max_leaves=6)


@given(small, schemas)
def test_it_agrees_with_a_whole_validator_on_what_it_looks_at(value: Any, schema: Any) -> None:
    fits = jsonschema.Draft202012Validator(schema).is_valid(value)
    assert (misfit(value, schema) is None) == fits
