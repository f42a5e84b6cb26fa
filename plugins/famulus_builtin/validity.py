"""Whether a value satisfies a JSON Schema, by checks of our own.

Checked are type, enum, const, properties and their names' presence, items, the bounds on numbers
and sizes, the combining keywords and the common formats. `pattern` is not: patterns come from
clients, and one can be written that keeps the server busy for hours.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from datetime import date, datetime
from fractions import Fraction
from ipaddress import IPv4Address, IPv6Address
from typing import Any
from uuid import UUID

from famulus_builtin.refs import Schema, SchemaUnusable, resolved, types_of

DEPTH_MAX = 64
CHECKS_MAX = 50_000


class Checker:
    """Checks values against one schema and its parts, within one bound for all of them."""

    def __init__(self, root: Any) -> None:
        self.root = root
        self._left = CHECKS_MAX

    def accepts(self, schema: Any, value: Any, *, depth: int = 0) -> bool:
        """Whether `value` satisfies `schema`, which is the root or a part of it.

        Raises SchemaUnusable where the schema is broken or goes beyond the bounds.
        """
        self._left -= 1
        if self._left < 0:
            raise SchemaUnusable(f"it needs more than {CHECKS_MAX} checks")
        if depth > DEPTH_MAX:
            raise SchemaUnusable(f"it is nested more than {DEPTH_MAX} deep")
        return all(self._one(part, value, depth) for part in resolved(schema, self.root))

    def _one(self, schema: Schema, value: Any, depth: int) -> bool:
        def ok(part: Any, of: Any = value) -> bool:
            return self.accepts(part, of, depth=depth + 1)

        if not _has_type(value, types_of(schema)):
            return False
        if "const" in schema and not same(schema["const"], value):
            return False
        if "enum" in schema and not any(same(one, value) for one in schema["enum"]):
            return False
        if "anyOf" in schema and not any(ok(part) for part in schema["anyOf"]):
            return False
        if "oneOf" in schema and sum(ok(part) for part in schema["oneOf"]) != 1:
            return False
        if "not" in schema and ok(schema["not"]):
            return False
        if isinstance(value, Mapping):
            return _is_object(schema, value, ok)
        if isinstance(value, list):
            return _is_array(schema, value, ok)
        if isinstance(value, str):
            return _is_text(schema, value)
        return not is_number(value) or _is_in_bounds(schema, value)


def _is_object(schema: Schema, value: Mapping[str, Any], ok: Callable[..., bool]) -> bool:
    properties = schema.get("properties", {})
    if any(name not in value for name in schema.get("required", ())):
        return False
    if not schema.get("minProperties", 0) <= len(value) <= schema.get("maxProperties", len(value)):
        return False
    for name, others in schema.get("dependentRequired", {}).items():
        if name in value and any(other not in value for other in others):
            return False
    # Which other names a pattern allows is not looked at: see the module's docstring.
    rest = True if "patternProperties" in schema else schema.get("additionalProperties", True)
    return all(ok(properties.get(name, rest), item) for name, item in value.items())


def _is_array(schema: Schema, value: list[Any], ok: Callable[..., bool]) -> bool:
    if not schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", len(value)):
        return False
    if schema.get("uniqueItems") and len({key_of(item) for item in value}) != len(value):
        return False
    first = schema.get("prefixItems", [])
    if not all(ok(part, item) for part, item in zip(first, value, strict=False)):
        return False
    if "contains" in schema:
        found = sum(ok(schema["contains"], item) for item in value)
        if not schema.get("minContains", 1) <= found <= schema.get("maxContains", found):
            return False
    return "items" not in schema or all(ok(schema["items"], item) for item in value[len(first) :])


def _is_text(schema: Schema, value: str) -> bool:
    if not schema.get("minLength", 0) <= len(value) <= schema.get("maxLength", len(value)):
        return False
    check = _FORMATS.get(str(schema.get("format")))
    return check is None or check(value)


def _is_in_bounds(schema: Schema, value: float) -> bool:
    for keyword, fits in _BOUNDS.items():
        # In draft 4 the exclusive ones were booleans; those are not enforced.
        if is_number(schema.get(keyword)) and not fits(value, schema[keyword]):
            return False
    step = schema.get("multipleOf")
    return step is None or Fraction(str(value)) % Fraction(str(step)) == 0


_BOUNDS: dict[str, Callable[[float, float], bool]] = {
    "minimum": operator.ge,
    "maximum": operator.le,
    "exclusiveMinimum": operator.gt,
    "exclusiveMaximum": operator.lt,
}


def _has_type(value: Any, types: tuple[str, ...]) -> bool:
    return any(_TYPES[name](value) for name in types if name in _TYPES)


def same(one: Any, other: Any) -> bool:
    """Equality as JSON has it: 1 is 1.0, but true is not 1."""
    return bool(key_of(one) == key_of(other))


def key_of(value: Any) -> Any:
    """What two values have in common exactly if they are equal in JSON; can be in a set."""
    if isinstance(value, bool | str) or value is None:
        return (type(value).__name__, value)
    if isinstance(value, Mapping):
        return ("object", frozenset((name, key_of(item)) for name, item in value.items()))
    if isinstance(value, list):
        return ("array", tuple(key_of(item) for item in value))
    return ("number", value)


def is_number(value: Any) -> bool:
    """Whether a value is a number in JSON, which true is not."""
    return isinstance(value, int | float) and not isinstance(value, bool)


_TYPES: dict[str, Callable[[Any], bool]] = {
    "object": lambda value: isinstance(value, Mapping),
    "array": lambda value: isinstance(value, list),
    "string": lambda value: isinstance(value, str),
    "boolean": lambda value: isinstance(value, bool),
    "null": lambda value: value is None,
    "number": is_number,
    "integer": lambda value: is_number(value) and value == int(value),
}


def _read_by(read: Callable[[str], Any]) -> Callable[[str], bool]:
    def check(text: str) -> bool:
        try:
            read(text)
        except ValueError:
            return False
        return True

    return check


def _looks_like(pattern: str) -> Callable[[str], bool]:
    compiled = re.compile(pattern)
    return lambda text: compiled.fullmatch(text) is not None


def _zoned(text: str) -> None:
    if not re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)", text):
        raise ValueError(text)
    datetime.fromisoformat(text)


def _dashed(text: str) -> None:
    if not re.fullmatch(r"\d{4}-\d\d-\d\d", text):
        raise ValueError(text)
    date.fromisoformat(text)


_FORMATS: dict[str, Callable[[str], bool]] = {
    "date": _read_by(_dashed),
    "date-time": _read_by(_zoned),
    "time": _looks_like(r"([01]\d|2[0-3]):[0-5]\d:[0-5]\d(\.\d+)?(Z|[+-]\d\d:\d\d)"),
    "duration": _looks_like(r"P(?=.)(\d+Y)?(\d+M)?(\d+W)?(\d+D)?(T(?=.)(\d+H)?(\d+M)?(\d+S)?)?"),
    "email": _looks_like(r"[\w.+-]+@[\w-]+(\.[\w-]+)+"),
    "hostname": _looks_like(r"(?=.{1,253}$)[a-zA-Z0-9]([\w-]{0,61}[a-zA-Z0-9])?(\.[a-zA-Z0-9]+)*"),
    "uri": _looks_like(r"[a-z][a-z0-9+.-]*:[^\s]+"),
    "uuid": _read_by(lambda text: UUID(text) if len(text) == 36 else _zoned(text)),
    "ipv4": _read_by(IPv4Address),
    "ipv6": _read_by(IPv6Address),
}
