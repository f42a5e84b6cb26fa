"""Values for a schema: one that is valid, those at its bounds, and those beyond them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import msgspec

from famulus_conformance.shapes import alternatives, is_object, words_of

SIZE_MAX = 300_000
"""Longest text or list that is made; a bound beyond it is not tried."""

Named = Mapping[str, Any]


def sample(schema: Any, named: Named, known: Mapping[str, Any] = {}) -> Any:
    """A small valid value, of the first alternative that is not null."""
    plains = list(alternatives(schema, named))
    plain = next((each for each in plains if each.get("type") != "null"), {"type": "null"})
    return _of_plain(plain, named, known)


def _of_plain(plain: Any, named: Named, known: Mapping[str, Any]) -> Any:
    words = words_of(plain)
    if words:
        return words[0]
    if is_object(plain):
        return _object(plain, named, known)
    kind = plain.get("type", "string")
    if kind == "array":
        count = plain.get("minItems", 0)
        return [sample(plain.get("items", {}), named, known) for _ in range(max(count, 1))]
    if kind == "string":
        return text_of(plain, max(plain.get("minLength", 1), 1))
    if kind in ("integer", "number"):
        return plain.get("minimum", 1)
    return {"boolean": True, "null": None}.get(kind, "a")


def _object(plain: Any, named: Named, known: Mapping[str, Any]) -> dict[str, Any]:
    properties = plain.get("properties", {})
    made = {
        name: known[name] if name in known else sample(properties[name], named, known)
        for name in plain.get("required", ())
        if name in properties
    }
    # `vector_store_ids` or `vector_stores`: one of several must be there.
    for choice in (*plain.get("oneOf", ()), *plain.get("anyOf", ())):
        if set(choice) == {"required"} and not any(name in made for name in choice["required"]):
            for name in choice["required"]:
                made[name] = known.get(name, sample(properties[name], named, known))
            break
    return made


def text_of(plain: Any, length: int) -> str:
    """A text of a length that a string's schema allows."""
    if "pattern" in plain and ":" in plain["pattern"]:
        return f"https://example.com/{'a' * max(length - 24, 0)}.png"
    return "a" * length


class Bound(msgspec.Struct, frozen=True):
    """One bound of a schema, a value just within it and one just beyond."""

    what: str
    """`maxLength 64`"""
    within: Any
    beyond: Any


def bounds(plain: Any, named: Named, known: Mapping[str, Any]) -> Iterator[Bound]:
    """Every bound of one plain schema; those too large to try are left out."""
    for name, make in _MAKERS.items():
        limit = plain.get(name)
        if limit is None or (isinstance(limit, int) and limit > SIZE_MAX and name in _SIZES):
            continue
        made = make(limit, plain, named, known)
        if made is not None:
            yield Bound(f"{name} {limit}", *made)


_SIZES = ("maxLength", "maxItems", "maxProperties")
Pair = tuple[Any, Any] | None


def _max_length(limit: int, plain: Any, named: Named, known: Mapping[str, Any]) -> Pair:
    return text_of(plain, limit), text_of(plain, limit + 1)


def _min_length(limit: int, plain: Any, named: Named, known: Mapping[str, Any]) -> Pair:
    return (text_of(plain, limit), text_of(plain, limit - 1)) if limit > 0 else None


def _pattern(limit: str, plain: Any, named: Named, known: Mapping[str, Any]) -> Pair:
    within = text_of(plain, max(plain.get("minLength", 1), 3))
    beyond = "not so!"
    fits = re.search(limit, within) is not None and re.search(limit, beyond) is None
    return (within, beyond) if fits else None


def _max_items(limit: int, plain: Any, named: Named, known: Mapping[str, Any]) -> Pair:
    return _items(plain, limit, named, known), _items(plain, limit + 1, named, known)


def _min_items(limit: int, plain: Any, named: Named, known: Mapping[str, Any]) -> Pair:
    if limit == 0:
        return None
    return _items(plain, limit, named, known), _items(plain, limit - 1, named, known)


def _items(plain: Any, count: int, named: Named, known: Mapping[str, Any]) -> list[Any]:
    return [sample(plain.get("items", {}), named, known) for _ in range(count)]


def _max_properties(limit: int, plain: Any, named: Named, known: Mapping[str, Any]) -> Pair:
    value = sample(plain.get("additionalProperties") or {}, named, known)
    pairs = {f"k{number}": value for number in range(limit + 1)}
    return dict(list(pairs.items())[:limit]), pairs


def _minimum(limit: float, plain: Any, named: Named, known: Mapping[str, Any]) -> Pair:
    return limit, limit - _grain(plain)


def _maximum(limit: float, plain: Any, named: Named, known: Mapping[str, Any]) -> Pair:
    return limit, limit + _grain(plain)


def _grain(plain: Any) -> float:
    return 1 if plain.get("type") == "integer" else 0.5


_MAKERS: dict[str, Callable[[Any, Any, Named, Mapping[str, Any]], Pair]] = {
    "maxLength": _max_length,
    "minLength": _min_length,
    "pattern": _pattern,
    "maxItems": _max_items,
    "minItems": _min_items,
    "maxProperties": _max_properties,
    "minimum": _minimum,
    "maximum": _maximum,
}


def wrong_value(schema: Any, named: Named) -> Any:
    """A value of a type that a schema does not allow; None where it allows all of them."""
    kinds = {_json_kind(each) for each in alternatives(schema, named)}
    if "anything" in kinds:
        return None
    for kind, value in (("integer", 5), ("string", "wrong"), ("array", []), ("object", {})):
        if kind not in kinds and not (kind == "integer" and "number" in kinds):
            return value
    return None


def _json_kind(plain: Any) -> str:
    if words_of(plain):
        return "string"
    return "object" if is_object(plain) else str(plain.get("type", "anything"))
