"""Whether a value fits a JSON Schema, and if not, where and why, in words for a model.

Only what models get wrong is looked at: `type`, `required`, `enum`, `const`, `properties`,
`additionalProperties`, `items`, `anyOf`, `oneOf`, `allOf` and references within the schema.
Anything else, and any part of a schema that is no schema, lets every value pass.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import msgspec

DEPTH_MAX = 64
"""How deep values are looked into; what lies deeper passes."""

LOOKS_MAX = 10_000
"""How many parts are looked at; a schema that refers to itself could ask for any number."""

_TYPES: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "object": ("an object", lambda value: isinstance(value, dict)),
    "array": ("an array", lambda value: isinstance(value, list)),
    "string": ("a string", lambda value: isinstance(value, str)),
    "boolean": ("a boolean", lambda value: isinstance(value, bool)),
    "null": ("null", lambda value: value is None),
    "integer": ("an integer", lambda value: _is_number(value) and value == int(value)),
    "number": ("a number", lambda value: _is_number(value)),
}
_KINDS = ("object", "array", "string", "boolean", "null", "integer", "number")


def misfit(value: Any, schema: Any) -> str | None:
    """The first thing that is wrong with the value, or None where it fits."""
    return next(_Fitting(schema).faults(value, schema, "", 0), None)


class _Fitting:
    def __init__(self, root: Any) -> None:
        self._root = root
        self._looks = 0

    def faults(self, value: Any, schema: Any, path: str, depth: int) -> Iterator[str]:
        """Everything that is wrong, outermost first."""
        self._looks += 1
        if not isinstance(schema, Mapping) or depth > DEPTH_MAX or self._looks > LOOKS_MAX:
            return
        at = path or "the arguments"
        if "$ref" in schema:
            yield from self.faults(value, self._referred(schema["$ref"]), path, depth + 1)
        yield from _type_faults(value, schema.get("type"), at)
        yield from _enum_faults(value, schema, at)
        yield from self._choice_faults(value, schema, path, depth)
        if isinstance(value, dict):
            yield from self._object_faults(value, schema, path, depth)
        elif isinstance(value, list):
            for index, item in enumerate(value):
                place = f"{path}[{index}]"
                yield from self.faults(item, schema.get("items"), place, depth + 1)

    def _object_faults(
        self, value: dict[str, Any], schema: Mapping[str, Any], path: str, depth: int
    ) -> Iterator[str]:
        properties = schema.get("properties")
        known = properties if isinstance(properties, Mapping) else {}
        required = schema.get("required")
        for name in required if isinstance(required, list) else ():
            if isinstance(name, str) and name not in value:
                yield f"{_join(path, name)} is missing"
        for name, item in value.items():
            if name in known:
                yield from self.faults(item, known[name], _join(path, name), depth + 1)
            elif schema.get("additionalProperties") is False and "patternProperties" not in schema:
                names = ", ".join(map(str, known)) or "none"
                yield f"{_join(path, name)} is not known; the names are: {names}"

    def _choice_faults(
        self, value: Any, schema: Mapping[str, Any], path: str, depth: int
    ) -> Iterator[str]:
        for part in _schemas(schema.get("allOf")):
            yield from self.faults(value, part, path, depth + 1)
        for key in ("anyOf", "oneOf"):
            parts = _schemas(schema.get(key))
            found = [next(self.faults(value, part, path, depth + 1), None) for part in parts]
            if found and all(found):
                yield " or ".join(dict.fromkeys(filter(None, found)))

    def _referred(self, reference: Any) -> Any:
        if not isinstance(reference, str) or not reference.startswith("#"):
            return None
        found = self._root
        for part in reference[1:].split("/")[1:]:
            name = part.replace("~1", "/").replace("~0", "~")
            found = found.get(name) if isinstance(found, Mapping) else None
        return found


def _type_faults(value: Any, types: Any, at: str) -> Iterator[str]:
    allowed = types if isinstance(types, list) else [types]
    known = [_TYPES[each] for each in allowed if isinstance(each, str) and each in _TYPES]
    if not known or len(known) < len(allowed) or any(fits(value) for _, fits in known):
        return
    expected = " or ".join(name for name, _ in known)
    yield f"{at} must be {expected}, not {_kind(value)}"


def _enum_faults(value: Any, schema: Mapping[str, Any], at: str) -> Iterator[str]:
    allowed = schema.get("enum")
    if "const" in schema:
        allowed = [schema["const"]]
    if isinstance(allowed, list) and not any(_equal(value, each) for each in allowed):
        yield f"{at} must be one of {msgspec.json.encode(allowed).decode()}"


def _schemas(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _equal(one: Any, other: Any) -> bool:
    # To Python, True is 1.
    return bool(one == other) and isinstance(one, bool) == isinstance(other, bool)


def _kind(value: Any) -> str:
    return next(_TYPES[kind][0] for kind in _KINDS if _TYPES[kind][1](value))


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name
