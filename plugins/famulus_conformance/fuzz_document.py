"""The oracle's document as a fuzzer needs it: what is served, with links, without streams."""

from __future__ import annotations

import copy
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from famulus_conformance.links import linked
from famulus_conformance.recipes import Request
from famulus_conformance.shapes import alternatives

STREAM_FIELDS = ("stream", "stream_options")
"""Left out of bodies: events are no JSON to hold to a schema, and streams are judged apart."""

RAW_OPERATIONS = ("createChatCompletion", "createCompletion", "createEmbedding")
"""Their bodies are the model server's own, which may know further fields at any depth."""

CURSORS = ("after", "before")
"""Left out of lists below an object: made up, they would end nearly every walk where it begins."""

BEARER = "bearer"
"""The key's scheme, for an oracle that says nothing of keys."""

SENT = "Sent"
"""Ends the names of components as requests hold them."""

_NAMES = ("properties", "schemas")
"""What is in these are names of somebody's, not keywords."""

_REF = "#/components/schemas/"


def fuzzed_document(
    document: Mapping[str, Any],
    operations: Collection[str],
    *,
    models: Sequence[str] = (),
    examples: Mapping[str, Request] = {},
) -> dict[str, Any]:
    """A document of just these operations, whose bodies are closed and whose answers are linked.

    Models are asked for by the names that the server lists, for of those that are drawn at random
    it has none.

    OpenAI's schemas close only the outermost object of a request, while its API refused unknown
    names at any depth ("Unknown parameter: 'tools[0].foo'."); so what a request holds is closed
    throughout, in copies of the components, since an answer may hold more than we know.
    """
    ours: dict[str, Any] = copy.deepcopy(dict(document))
    requests = _Requests(ours["components"]["schemas"], models)
    ours["paths"] = {
        path: {
            method: requests.rewritten(_without_cursors(entry) if "{" in path else entry)
            for method, entry in methods.items()
            if entry["operationId"] in operations
        }
        for path, methods in ours["paths"].items()
    }
    for methods in ours["paths"].values():
        for entry in methods.values():
            if entry["operationId"] in examples:
                _exemplify(entry, examples[entry["operationId"]])
    ours["paths"] = {path: methods for path, methods in ours["paths"].items() if methods}
    ours["components"]["schemas"] |= requests.components
    ours.setdefault("security", [{BEARER: []}])
    ours["components"].setdefault("securitySchemes", {BEARER: {"type": "http", "scheme": "bearer"}})
    # Discriminators name components where OpenAI's text has values; `enum` tells without them.
    # Formats are notes in 2020-12; what must match is said by `pattern`.
    ours = _without(_without(ours, "discriminator"), "format")
    return linked(ours, models)


class _Requests:
    """Rewrites bodies of requests, and the components that they are made of."""

    def __init__(self, named: Mapping[str, Any], models: Sequence[str]) -> None:
        self.components: dict[str, Any] = {}
        """The copies."""
        self._named = named
        self._models = models

    def rewritten(self, entry: dict[str, Any]) -> dict[str, Any]:
        """An operation with its body as it is to be sent."""
        for media in entry.get("requestBody", {}).get("content", {}).values():
            is_raw = entry["operationId"] in RAW_OPERATIONS
            branches = [
                self._outermost(plain, is_raw=is_raw)
                for plain in alternatives(media["schema"], self._named)
            ]
            media["schema"] = branches[0] if len(branches) == 1 else {"anyOf": branches}
        return entry

    def _outermost(self, plain: dict[str, Any], *, is_raw: bool) -> dict[str, Any]:
        """The object that alone names a model, and may ask for a stream."""
        if "properties" not in plain:
            return plain
        properties = {
            name: self._with_models(value, is_raw=is_raw) if name == "model" else value
            for name, value in plain["properties"].items()
            if name not in STREAM_FIELDS
        }
        # Closed, since an open one could still be asked for a stream by chance.
        outermost = {**plain, "properties": properties, "additionalProperties": False}
        return outermost if is_raw else self._closed(outermost)

    def _with_models(self, schema: Any, *, is_raw: bool) -> Any:
        if not self._models:
            return schema
        known = {"type": "string", "enum": list(self._models)}
        # An assistant may be made with a model that is not there; only its runs then fail.
        return known if is_raw else {"anyOf": [known, schema]}

    def _closed(self, schema: Any, *, is_part: bool = False) -> Any:
        """The schema with each object closed that names its properties, parts of a whole aside."""
        if isinstance(schema, list):
            return [self._closed(each, is_part=is_part) for each in schema]
        if not isinstance(schema, dict):
            return schema
        if "$ref" in schema:
            return {**schema, "$ref": _REF + self._copied(_name(schema))}
        closed = {name: self._closed_at(name, value) for name, value in schema.items()}
        if "properties" in schema and not is_part:
            closed.setdefault("additionalProperties", False)
        return closed

    def _closed_at(self, name: str, value: Any) -> Any:
        if name in ("properties", "$defs"):
            return {each: self._closed(part) for each, part in value.items()}
        if name in ("items", "additionalProperties", "anyOf", "oneOf"):
            return self._closed(value)
        return self._closed(value, is_part=True) if name == "allOf" else value

    def _copied(self, name: str) -> str:
        copied = f"{name}{SENT}"
        if copied not in self.components:
            self.components[copied] = {}  # It may refer to itself.
            self.components[copied] = self._closed(self._named[name])
        return copied


def _name(reference: Mapping[str, Any]) -> str:
    return str(reference["$ref"].removeprefix(_REF))


def _exemplify(entry: dict[str, Any], request: Request) -> None:
    """Give the operation a request that succeeds as its example, in place of OpenAI's."""
    for parameter in entry.get("parameters", ()):
        parameter.pop("example", None)
        if parameter["name"] in request.ids:
            parameter["example"] = request.ids[parameter["name"]]
            # An id that is there, and not OpenAI's of one that is not.
            parameter["schema"] = {"type": "string"}
    for media in entry.get("requestBody", {}).get("content", {}).values():
        media.pop("examples", None)
        if request.body is not None:
            media["example"] = request.body


def _without_cursors(entry: dict[str, Any]) -> dict[str, Any]:
    parameters = entry.get("parameters", ())
    return {**entry, "parameters": [each for each in parameters if each["name"] not in CURSORS]}


def _without(part: Any, keyword: str) -> Any:
    """The same without a keyword, wherever it says something of a schema."""
    if isinstance(part, list):
        return [_without(each, keyword) for each in part]
    if not isinstance(part, dict):
        return part
    return {
        name: {each: _without(value, keyword) for each, value in parts.items()}
        if name in _NAMES and isinstance(parts, dict)
        else _without(parts, keyword)
        for name, parts in part.items()
        if name != keyword
    }
