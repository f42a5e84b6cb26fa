"""The places in requests where an id goes, read from the server's own OpenAPI document.

A place of a body is a path of names, with `[]` for each item of a list; one of a path or a query
is a single name. Whatever is named like an id is taken for one, so that none can be forgotten.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

Json = dict[str, Any]

METHODS = ("get", "post", "put", "patch", "delete")
ITEM = "[]"
CURSORS = frozenset({"after", "before"})
BY_ANOTHER_NAME = frozenset({"container"})
"""Names of ids that do not end like one."""

_START = "#/components/schemas/"


class Slot(msgspec.Struct, frozen=True, kw_only=True):
    """One place of one operation."""

    method: str
    path: str
    operation: str
    where: str
    """`path`, `query`, or the media type of the body."""
    names: tuple[str, ...]

    @property
    def name(self) -> str:
        """What the id is called there."""
        return self.names[-2] if self.names[-1] == ITEM else self.names[-1]

    def __str__(self) -> str:
        where = self.where.partition("/")[0].replace("application", "body")
        return f"{self.operation}:{where}:{dotted(self.names)}"


def dotted(names: tuple[str, ...]) -> str:
    """A place as a parameter is named: `messages[].file_id`."""
    return ".".join(names).replace(f".{ITEM}", ITEM)


def is_id(name: str) -> bool:
    """Whether a name stands for the id of something, or for several."""
    return name.endswith(("_id", "_ids")) or name in CURSORS or name in BY_ANOTHER_NAME


class Document:
    """An OpenAPI document, and what goes into the requests that it describes."""

    def __init__(self, document: Json) -> None:
        self._document = document
        self._schemas: Json = document["components"]["schemas"]

    def slots(self) -> list[Slot]:
        """Every place of an id."""
        return [
            Slot(method=method, path=path, operation=entry["operationId"], where=where, names=names)
            for path, methods in self._document["paths"].items()
            for method, entry in methods.items()
            if method in METHODS
            for where, names in self._of(entry)
        ]

    def operations(self) -> list[tuple[str, str]]:
        """Method and path of every operation."""
        return [
            (method.upper(), path)
            for path, methods in self._document["paths"].items()
            for method in methods
            if method in METHODS
        ]

    def _of(self, entry: Json) -> Iterator[tuple[str, tuple[str, ...]]]:
        for parameter in entry.get("parameters", ()):
            if is_id(parameter["name"].removesuffix(ITEM)):
                yield parameter["in"], (parameter["name"],)
        for media, content in entry.get("requestBody", {}).get("content", {}).items():
            for names in dict.fromkeys(self._places(content["schema"], ())):
                yield media, names

    def body(self, slot: Slot, value: Any, known: Mapping[str, Any]) -> Any:
        """The smallest body with `value` in that place, or with the least if it has none.

        What it needs besides comes from `known` by its name.
        """
        content = self._entry(slot)["requestBody"]["content"]
        media = slot.where if slot.where in content else next(iter(content))
        names = slot.names if slot.where in content else ()
        return self._built(content[media]["schema"], names, value, known)

    def takes(self, slot: Slot) -> tuple[str, bool]:
        """The media type of the body, empty where there is none; and whether it must be sent."""
        body = self._entry(slot).get("requestBody")
        if body is None:
            return "", False
        media = slot.where if slot.where in body["content"] else next(iter(body["content"]))
        return media, body.get("required", False)

    def needed(self, slot: Slot) -> list[str]:
        """The parameters of the query that must be sent."""
        parameters = self._entry(slot).get("parameters", ())
        return [p["name"] for p in parameters if p["in"] == "query" and p.get("required")]

    def _entry(self, slot: Slot) -> Json:
        entry: Json = self._document["paths"][slot.path][slot.method]
        return entry

    # --- schemas ------------------------------------------------------------------------------

    def _places(self, schema: Json, above: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
        if "$ref" in schema:
            name = schema["$ref"]
            if name not in above:
                yield from self._places(self._named(name), (*above, name))
            return
        for branch in _branches(schema):
            yield from self._places(branch, above)
        for name, inner in schema.get("properties", {}).items():
            for rest in self._places(inner, above):
                yield (name, *rest)
            if is_id(name):
                yield (name, ITEM) if self._is_list(inner) else (name,)
        if isinstance(schema.get("items"), dict):
            for rest in self._places(schema["items"], above):
                yield (ITEM, *rest)

    def _named(self, ref: str) -> Json:
        schema: Json = self._schemas[ref.removeprefix(_START)]
        return schema

    def _is_list(self, schema: Json) -> bool:
        if "$ref" in schema:
            return self._is_list(self._named(schema["$ref"]))
        branches = _branches(schema)
        return schema.get("type") == "array" or any(self._is_list(each) for each in branches)

    def _has(self, schema: Json, names: tuple[str, ...]) -> bool:
        return names in set(self._places(schema, ())) or names in ((), (ITEM,))

    def _built(
        self, schema: Json, names: tuple[str, ...], value: Any, known: Mapping[str, Any]
    ) -> Any:
        if "$ref" in schema:
            return self._built(self._named(schema["$ref"]), names, value, known)
        if branches := _branches(schema):
            fitting = [each for each in branches if names and self._fits(each, names)]
            return self._built((fitting or branches)[0], names, value, known)
        if schema.get("type") == "array" and names and names[0] == ITEM:
            rest = names[1:]
            return [self._built(schema["items"], rest, value, known) if rest else value]
        if schema.get("type") == "object":
            return self._object(schema, names, value, known)
        return value if names == () and value is not None else self._least(schema, known)

    def _object(
        self, schema: Json, names: tuple[str, ...], value: Any, known: Mapping[str, Any]
    ) -> Json:
        built: Json = {}
        for name, inner in schema.get("properties", {}).items():
            if names and name == names[0]:
                rest = names[1:]
                built[name] = self._built(inner, rest, value, known) if rest else value
            elif name in schema.get("required", ()):
                given = known.get(name)
                built[name] = self._built(inner, (), None, known) if given is None else given
        return built

    def _fits(self, schema: Json, names: tuple[str, ...]) -> bool:
        if names[0] == ITEM and len(names) == 1:
            return self._is_list(schema)
        return self._has(schema, names)

    def _least(self, schema: Json, known: Mapping[str, Any]) -> Any:
        if "const" in schema:
            return schema["const"]
        if "enum" in schema:
            return schema["enum"][0]
        if schema.get("type") == "array":
            count = schema.get("minItems", 0)
            return [self._built(schema["items"], (), None, known) for _ in range(count)]
        least = {"string": "x", "integer": 1, "number": 1, "boolean": False, "null": None}
        return least[schema["type"]]


def _branches(schema: Json) -> list[Json]:
    return [
        each
        for word in ("anyOf", "oneOf", "allOf")
        for each in schema.get(word, ())
        if each != {"type": "null"}
    ]
