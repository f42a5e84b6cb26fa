"""Whatever the schema: what is made from it is valid, and our checks agree with others' checks."""

from __future__ import annotations

from typing import Any

import jsonschema
import jsonschema_rs
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from famulus_builtin.arguments import fill
from famulus_builtin.schema import example
from famulus_builtin.validity import Checker

FORMATS = ["date", "date-time", "time", "email", "uri", "uuid", "ipv4", "ipv6", "hostname"]


def is_valid(schema: Any, value: Any) -> bool:
    validator = jsonschema.Draft202012Validator(
        schema, format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER
    )
    strict = jsonschema_rs.Draft202012Validator(schema, validate_formats=True)
    return bool(validator.is_valid(value)) and strict.is_valid(value)


@st.composite
def numbers(draw: st.DrawFn) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": draw(st.sampled_from(["integer", "number"]))}
    low = draw(st.integers(-1000, 1000))
    high = low + draw(st.integers(0, 50)) * 10
    if draw(st.booleans()):
        schema["minimum"] = low
    if draw(st.booleans()):
        schema["maximum"] = high
    if draw(st.booleans()) and high - low >= 10:
        schema["multipleOf"] = draw(st.sampled_from([1, 2, 5, 10, 0.5, 0.25]))
    elif draw(st.booleans()) and high - low >= 10:
        schema["exclusiveMinimum"], schema["exclusiveMaximum"] = low, high
    return schema


@st.composite
def texts(draw: st.DrawFn) -> dict[str, Any]:
    if draw(st.booleans()):
        return {"type": "string", "format": draw(st.sampled_from(FORMATS))}
    least = draw(st.integers(0, 40))
    bounds = draw(st.sampled_from(["none", "least", "most", "both"]))
    schema: dict[str, Any] = {"type": "string"}
    if bounds in ("least", "both"):
        schema["minLength"] = least
    if bounds in ("most", "both"):
        schema["maxLength"] = least + draw(st.integers(0, 5))
    return schema


@st.composite
def objects(draw: st.DrawFn, inner: st.SearchStrategy[Any]) -> dict[str, Any]:
    properties = draw(st.dictionaries(st.text("abcde\u00e9 /~", min_size=1), inner, max_size=4))
    required = [name for name in properties if draw(st.booleans())]
    schema: dict[str, Any] = {"type": "object", "properties": properties, "required": required}
    if draw(st.booleans()):
        schema["additionalProperties"] = draw(st.sampled_from([False, {"type": "integer"}]))
    if draw(st.booleans()):
        schema["minProperties"] = draw(st.integers(0, len(properties)))
    return schema


@st.composite
def arrays(draw: st.DrawFn, inner: st.SearchStrategy[Any]) -> dict[str, Any]:
    least = draw(st.integers(0, 3))
    schema: dict[str, Any] = {"type": "array", "minItems": least}
    if draw(st.booleans()):
        schema["items"] = draw(inner)
    if draw(st.booleans()):
        schema["maxItems"] = least + draw(st.integers(0, 3))
    if draw(st.booleans()):
        schema["prefixItems"] = draw(st.lists(inner, min_size=1, max_size=3))
    return schema


LEAVES = st.one_of(
    numbers(),
    texts(),
    st.just({"type": "boolean"}),
    st.just({"type": "null"}),
    st.just({}),
    st.lists(st.integers() | st.text() | st.booleans() | st.none(), min_size=1).map(
        lambda values: {"enum": values}
    ),
    st.recursive(st.integers() | st.text(), lambda inner: st.lists(inner, max_size=3)).map(
        lambda value: {"const": value}
    ),
)


def nests(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(
        objects(inner),
        arrays(inner),
        st.lists(inner, min_size=1, max_size=3).map(lambda parts: {"anyOf": parts}),
        inner.map(lambda part: {"allOf": [part]}),
        inner.map(lambda part: {"oneOf": [{"type": "null", "not": {}}, part]}),
        inner.map(
            lambda part: {
                "type": "object",
                "properties": {
                    "deeper": {"anyOf": [{"$ref": "#/$defs/again"}, {"type": "null"}]},
                    "part": part,
                },
                "required": ["deeper"],
            },
        ),
    )


SCHEMAS = st.builds(
    lambda schema, again: {**schema, "$defs": {"again": again}},
    st.recursive(LEAVES, nests, max_leaves=12),
    st.recursive(LEAVES, nests, max_leaves=4),
)


@settings(max_examples=300, deadline=None)
@given(SCHEMAS)
def test_whatever_is_made_from_a_schema_is_valid(schema: Any) -> None:
    assert is_valid(schema, example(schema))


@settings(max_examples=100, deadline=None)
@given(
    texts().filter(lambda item: item.get("maxLength", 9) > 0)
    | st.integers(-40, 40).map(lambda low: {"type": "integer", "minimum": low, "maximum": low + 1})
)
def test_unique_items_differ(item: Any) -> None:
    schema = {"type": "array", "items": item, "minItems": 2, "uniqueItems": True}
    assert is_valid(schema, example(schema))


SPOKEN = [
    *("Oslo", "in", "and", "3", "true", "not", '"a b"', "2026-05-12", "a", "b:", "c", "to"),
    *("12:30", "ada@example.com", "red,", "Ada Lovelace", "4.5", "#7", "?"),
]
WORDS = st.lists(st.sampled_from(SPOKEN), max_size=12).map(" ".join)


@settings(max_examples=300, deadline=None)
@given(SCHEMAS, WORDS)
def test_whatever_is_filled_in_from_words_is_valid(schema: Any, text: str) -> None:
    assert is_valid(schema, fill(schema, text))


VALUES = st.recursive(
    st.integers(-50, 50) | st.sampled_from([0.5, "", "ab", "2000-01-01", "::1", True, None]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text("abcde", max_size=2), inner)
    ),
    max_leaves=6,
)


@settings(max_examples=500, deadline=None)
@given(SCHEMAS, VALUES)
def test_our_checks_accept_what_other_validators_accept(schema: Any, value: Any) -> None:
    theirs = jsonschema_rs.Draft202012Validator(schema, validate_formats=True).is_valid(value)
    assert Checker(schema).accepts(schema, value) == theirs


@settings(max_examples=200, deadline=None)
@given(SCHEMAS, st.integers(-3, 3))
def test_our_checks_agree_on_values_that_are_nearly_right(schema: Any, change: int) -> None:
    value = example(schema)
    if isinstance(value, dict) and value:
        value = {**value, sorted(value)[0]: change}
    elif isinstance(value, list):
        value = [*value, change]
    elif isinstance(value, int | float):
        value = value + change
    else:
        assume(isinstance(value, str))
        value = value[: len(value) - abs(change)]
    theirs = jsonschema_rs.Draft202012Validator(schema, validate_formats=True).is_valid(value)
    assert Checker(schema).accepts(schema, value) == theirs
