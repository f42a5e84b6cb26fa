"""A JSON Schema as this plugin reads it: references resolved, `allOf` merged, sizes bounded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeAlias
from urllib.parse import unquote

Schema: TypeAlias = Mapping[str, Any]

ANYTHING: Schema = {}
NOTHING: Schema = {"not": {}}

REFERENCES_MAX = 32
"""References that may follow each other without anything between them."""


class SchemaUnusable(Exception):
    """The schema cannot be filled in: it is broken, allows nothing, or is too large."""


@contextmanager
def reading_schema() -> Iterator[None]:
    """Tell what a broken schema does to those who read it as SchemaUnusable.

    Clients send schemas of any shape, and each keyword's own check would be a validator.
    """
    try:
        yield
    except (TypeError, AttributeError, KeyError, ValueError) as error:
        raise SchemaUnusable(f"it is not a valid JSON Schema: {error}") from error


def as_schema(schema: Any) -> Schema:
    """A schema given as an object or a boolean. Raises SchemaUnusable for anything else."""
    if isinstance(schema, Mapping):
        return schema
    if isinstance(schema, bool):
        return ANYTHING if schema else NOTHING
    raise SchemaUnusable(f"a schema must be an object or a boolean, not {schema!r:.40}")


def resolved(schema: Any, root: Any) -> list[Schema]:
    """The schemas, none of which is a mere reference, that a value must all satisfy."""
    found: list[Schema] = []
    waiting = [as_schema(schema)]
    steps = 0
    while waiting:
        one = waiting.pop()
        found.append({key: value for key, value in one.items() if key not in ("$ref", "allOf")})
        steps += 1
        if steps > REFERENCES_MAX:
            raise SchemaUnusable("its references go in a circle, or follow too many others")
        if "$ref" in one:
            waiting.append(as_schema(_target(one["$ref"], root)))
        waiting += [as_schema(part) for part in _list(one.get("allOf", ()))]
    return [one for one in found if one]


def merged(schema: Any, root: Any) -> Schema:
    """One schema that allows no less than all parts together; where they clash, the narrower."""
    whole: dict[str, Any] = {}
    for part in resolved(schema, root):
        for key, value in part.items():
            whole[key] = _both(key, whole[key], value) if key in whole else value
    return whole


def _both(key: str, one: Any, other: Any) -> Any:
    if key == "properties":
        names = list(dict.fromkeys([*one, *other]))
        return {name: _all_of(name, one, other) for name in names}
    if key == "required":
        return list(dict.fromkeys([*_list(one), *_list(other)]))
    if key in ("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties"):
        return max(one, other)
    if key in ("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties"):
        return min(one, other)
    if key == "type":
        left, right = types_of({"type": one}), types_of({"type": other})
        return [name for name in dict.fromkeys((*left, *right)) if _in(name, left, right)]
    if key == "enum":
        return [value for value in one if value in other]
    if key in ("items", "additionalProperties"):
        return {"allOf": [one, other]}
    if key == "uniqueItems":
        return one or other
    return one


def _in(name: str, left: tuple[str, ...], right: tuple[str, ...]) -> bool:
    """Whether both name a type, of which an integer is a number too."""
    return all(
        name in types or (name == "integer" and "number" in types) for types in (left, right)
    )


def _all_of(name: str, one: Schema, other: Schema) -> Any:
    if name in one and name in other:
        return {"allOf": [one[name], other[name]]}
    return one.get(name, other.get(name))


def types_of(schema: Schema) -> tuple[str, ...]:
    """The types that a schema names; all of them where it names none."""
    given = schema.get("type")
    if given is None:
        return ("string", "object", "array", "number", "integer", "boolean", "null")
    return (given,) if isinstance(given, str) else tuple(_list(given))


def _target(reference: Any, root: Any) -> Any:
    if not isinstance(reference, str) or not reference.startswith("#"):
        raise SchemaUnusable(
            f"only references within the schema are followed, not {reference!r:.80}"
        )
    target = root
    for part in unquote(reference[1:]).split("/")[1:]:
        name = part.replace("~1", "/").replace("~0", "~")
        try:
            target = target[int(name)] if isinstance(target, list) else target[name]
        except (KeyError, IndexError, ValueError, TypeError):
            raise SchemaUnusable(f"it has nothing at {reference!r:.80}") from None
    return target


def _list(value: Any) -> list[Any]:
    if isinstance(value, list | tuple):
        return list(value)
    raise SchemaUnusable(f"expected a list in the schema, not {value!r:.40}")
