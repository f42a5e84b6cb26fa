"""Where two schemas part, however they are written, and values for what a schema says."""

from __future__ import annotations

from typing import Any

import jsonschema_rs
import pytest

from famulus_conformance.places import placed, places
from famulus_conformance.samples import bounds, sample, wrong_value
from famulus_conformance.shapes import Differences

TEXT = {"type": "string"}
NULL = {"type": "null"}
NUMBER = {"type": "integer", "minimum": 1}


def apart(theirs: Any, ours: Any, named: Any = None) -> list[str]:
    return list(Differences(named or {}, named or {}).between("thing", theirs, ours))


def thing(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": [*properties]}


@pytest.mark.parametrize(
    ("theirs", "ours", "said"),
    [
        (TEXT, {"anyOf": [TEXT, NULL]}, "thing: kinds: +null"),
        (TEXT, {**TEXT, "maxLength": 5}, "thing: maxLength: None -> 5"),
        ({"enum": ["a", "b"]}, {"enum": ["a"]}, "thing: words: -b"),
        (thing(a=TEXT, b=TEXT), thing(a=TEXT), "thing: required: -b"),
        (thing(a=TEXT), thing(a=NUMBER), "thing.a: kinds: -string +integer"),
        ({"type": "array", "items": TEXT}, {"type": "array", "items": NUMBER}, "thing.each: "),
        (thing(), {**thing(), "additionalProperties": False}, "thing: open: True -> False"),
    ],
)
def test_a_difference_is_told_with_its_place(theirs: Any, ours: Any, said: str) -> None:
    assert apart(theirs, theirs) == []
    assert apart(theirs, ours)[0].startswith(said)


def test_it_does_not_matter_how_it_is_written() -> None:
    named = {"Name": {**TEXT, "maxLength": 5}, "Both": {"allOf": [thing(a=TEXT), thing(b=TEXT)]}}
    refers = {"$ref": "#/components/schemas/Name"}
    assert apart({"oneOf": [NULL, refers]}, {"anyOf": [named["Name"], NULL]}, named) == []
    assert apart({"$ref": "#/components/schemas/Both"}, thing(a=TEXT, b=TEXT), named) == []
    assert apart({"const": "a"}, {"enum": ["a"]}) == []


def test_what_many_refer_to_is_told_once_under_its_own_name() -> None:
    refers = {"$ref": "#/components/schemas/Size"}
    theirs, ours = {"Size": NUMBER}, {"Size": {"type": "integer"}}
    found = Differences(theirs, ours).between(
        "x", thing(a=refers, b=refers), thing(a=refers, b=refers)
    )
    assert list(found) == ["Size: minimum: 1 -> None"]


def test_a_value_is_put_where_it_is_wanted_and_the_rest_is_made_up() -> None:
    image = thing(type={"enum": ["image"]}, url=TEXT)
    text = thing(type={"enum": ["text"]}, text=TEXT)
    body = thing(parts={"type": "array", "items": {"anyOf": [text, image]}}, role=TEXT)
    [place] = [each for each in places(body, {}) if each.path == "parts.each.url"]
    made = placed({"role": "user"}, place.steps, "here", {}, {})
    assert made == {"role": "user", "parts": [{"type": "image", "url": "here"}]}
    assert place.param == "parts[0].url"


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "string", "maxLength": 5, "minLength": 2},
        {"type": "string", "pattern": "^[a-z]+$"},
        {"type": "array", "items": TEXT, "minItems": 1, "maxItems": 3},
        {"type": "integer", "minimum": 3, "maximum": 9},
        {"type": "number", "minimum": 0, "maximum": 2},
        {"type": "object", "additionalProperties": TEXT, "maxProperties": 2},
    ],
)
def test_a_bound_has_a_value_within_and_one_beyond(schema: Any) -> None:
    validator = jsonschema_rs.Draft202012Validator(schema)
    found = list(bounds(schema, {}, {}))
    assert len(found) == len([name for name in schema if name.startswith(("min", "max", "pat"))])
    for bound in found:
        assert validator.is_valid(bound.within), bound
        assert not validator.is_valid(bound.beyond), bound
    assert validator.is_valid(sample(schema, {}))
    assert not validator.is_valid(wrong_value(schema, {}))
