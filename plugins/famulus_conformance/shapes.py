"""What a schema allows, with references and alternatives folded away, and where two part.

In a path, `each` is an item of a list, `key` and `value` are of a map, and `<name>` is one of
several objects, by its `event`, `type` or `role`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

LIMITS = (
    "minLength",
    "maxLength",
    "pattern",
    "minItems",
    "maxItems",
    "minimum",
    "maximum",
    "minProperties",
    "maxProperties",
)

REF = "#/components/schemas/"


@dataclass
class Shape:
    """What a schema allows."""

    kinds: set[str] = field(default_factory=set)
    words: set[str] = field(default_factory=set)
    limits: dict[str, Any] = field(default_factory=dict)
    required: set[str] = field(default_factory=set)
    parts: dict[str, Any] = field(default_factory=dict)
    is_open: bool = True


def referred(schema: Mapping[str, Any], named: Mapping[str, Any]) -> Any:
    """The component that a reference names."""
    return named[schema["$ref"].rsplit("/", 1)[-1]]


def alternatives(schema: Any, named: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Unfold references and unions into plain schemas, each the very object it is written as."""
    if "$ref" in schema:
        yield from alternatives(referred(schema, named), named)
        return
    if "allOf" in schema:
        yield _merged(schema, named)
        return
    union = [
        each
        for each in (*schema.get("anyOf", ()), *schema.get("oneOf", ()))
        if set(each) != {"required"}
    ]
    for each in union:
        yield from alternatives(each, named)
    if not union:
        yield schema


def _merged(schema: Any, named: Mapping[str, Any]) -> dict[str, Any]:
    """All of an `allOf` as one schema, whose properties are the very objects of its parts."""
    whole: dict[str, Any] = {}
    beside = {name: value for name, value in schema.items() if name != "allOf"}
    for each in (*schema["allOf"], beside):
        for plain in alternatives(each, named):
            properties = whole.get("properties", {}) | plain.get("properties", {})
            required = [*whole.get("required", ()), *plain.get("required", ())]
            whole |= plain
            whole |= {"properties": properties} if properties else {}
            whole |= {"required": required} if required else {}
    return whole


def is_object(plain: Mapping[str, Any]) -> bool:
    """Whether a plain schema is of an object."""
    return plain.get("type") == "object" or "properties" in plain


def words_of(plain: Mapping[str, Any]) -> list[Any]:
    """The words that a plain schema names, as an enum or as the one constant."""
    return [plain["const"]] if "const" in plain else list(plain.get("enum", ()))


def tag_of(schema: Mapping[str, Any]) -> str:
    """What tells one of several objects from the others."""
    for name in ("event", "type", "role"):
        words = words_of(schema.get("properties", {}).get(name, {}))
        if len(words) == 1:
            return str(words[0])
    return "untagged"


def shape(schema: Any, named: Mapping[str, Any]) -> Shape:
    """Fold a schema into what it allows."""
    found = Shape()
    plain = list(alternatives(schema, named))
    objects = [each for each in plain if is_object(each)]
    for each in plain:
        if each in objects:
            found.kinds.add("object")
        else:
            _add_plain(found, each)
    if "any" in found.words:
        found.words = set()
    if "each" in found.parts:
        items = found.parts["each"]
        found.parts["each"] = items[0] if len(items) == 1 else {"anyOf": items}
    if len(objects) > 1:
        found.parts |= {f"<{tag_of(each)}>": each for each in objects}
    if len(objects) == 1:
        _add_object(found, objects[0])
    return found


def _add_plain(found: Shape, plain: dict[str, Any]) -> None:
    words = set(words_of(plain))
    found.kinds.add("string" if words else plain.get("type", "anything"))
    if plain.get("type") == "string" or words:
        found.words |= words or {"any"}
    found.limits |= {name: plain[name] for name in LIMITS if name in plain}
    if "items" in plain:
        found.parts.setdefault("each", []).append(plain["items"])


def _add_object(found: Shape, plain: dict[str, Any]) -> None:
    found.limits |= {name: plain[name] for name in LIMITS if name in plain}
    found.required = set(plain.get("required", ()))
    found.parts |= plain.get("properties", {})
    found.is_open = plain.get("additionalProperties", True) is not False
    if isinstance(plain.get("additionalProperties"), dict):
        found.parts["value"] = plain["additionalProperties"]
    if "propertyNames" in plain:
        found.parts["key"] = plain["propertyNames"]


class Differences:
    """Tells where their schemas and ours part; what two components share is told once."""

    def __init__(self, theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> None:
        self._theirs = theirs
        self._ours = ours
        self._told: set[tuple[str, str]] = set()

    def between(self, path: str, theirs: Any, ours: Any) -> Iterator[str]:
        """Tell it as `path: what: theirs -> ours`, or as what ours adds and lacks."""
        left, right = sole_reference(theirs), sole_reference(ours)
        if not left or not right:
            yield from self._told_once(path, theirs, ours)
            return
        nulls = ["null" in _kinds(theirs, self._theirs), "null" in _kinds(ours, self._ours)]
        if nulls[0] != nulls[1]:
            yield f"{path}: kinds: {'-null' if nulls[0] else '+null'}"
        if (left, right) not in self._told:
            self._told.add((left, right))
            yield from self._told_once(left, self._theirs[left], self._ours[right], nulls=False)

    def _told_once(self, path: str, theirs: Any, ours: Any, *, nulls: bool = True) -> Iterator[str]:
        left, right = shape(theirs, self._theirs), shape(ours, self._ours)
        if not nulls:
            # Whether a component may be null is told where it is referred to.
            left.kinds.discard("null")
            right.kinds.discard("null")
        for what in ("kinds", "words", "required"):
            lost = [f"-{each}" for each in sorted(getattr(left, what) - getattr(right, what))]
            gained = [f"+{each}" for each in sorted(getattr(right, what) - getattr(left, what))]
            if lost or gained:
                yield f"{path}: {what}: {' '.join(lost + gained)}"
        for name in LIMITS:
            if left.limits.get(name) != right.limits.get(name):
                yield f"{path}: {name}: {left.limits.get(name)} -> {right.limits.get(name)}"
        # An object inside a request is closed by our own rule; the outermost is told by theirs.
        if "." not in path and left.is_open != right.is_open:
            yield f"{path}: open: {left.is_open} -> {right.is_open}"
        for name in sorted(set(left.parts) ^ set(right.parts)):
            yield f"{path}.{name}: {'only theirs' if name in left.parts else 'only ours'}"
        for name in sorted(set(left.parts) & set(right.parts)):
            yield from self.between(f"{path}.{name}", left.parts[name], right.parts[name])


def sole_reference(schema: Any) -> str:
    """The one component that a schema refers to, null aside; empty if it is not just that."""
    if "$ref" in schema:
        return str(schema["$ref"].rsplit("/", 1)[-1])
    branches = [each for each in _union(schema) if each.get("type") != "null"]
    return sole_reference(branches[0]) if len(branches) == 1 else ""


def _kinds(schema: Any, named: Mapping[str, Any]) -> set[str]:
    return shape(schema, named).kinds


def _union(schema: Any) -> list[Any]:
    return [*schema.get("anyOf", ()), *schema.get("oneOf", ())]
