"""Another OpenAPI document beside an oracle's, operation by operation."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from famulus_conformance.scope import scope
from famulus_conformance.shapes import Differences

_BASE = re.compile(r"^/v[0-9]+")
_METHODS = ("get", "post", "put", "patch", "delete")

Json = Mapping[str, Any]


class Comparison:
    """What a server's own document says otherwise than an oracle's."""

    def __init__(self, theirs: Json, ours: Json) -> None:
        self._theirs = theirs
        self._ours = _entries(ours)
        self._apart = Differences(theirs["components"]["schemas"], ours["components"]["schemas"])

    def not_served(self) -> list[str]:
        """Operations of the oracle's that the other does not have."""
        return [f"{one}" for one in scope() if (one.method, one.path) not in self._ours]

    def of_its_own(self) -> list[str]:
        """Operations under the API's path that the oracle does not have."""
        known = {(one.method, one.path) for one in scope()}
        return [f"{method} {path}" for method, path in self._ours if (method, path) not in known]

    def differences(self) -> Iterator[str]:
        """Where what both have parts; see `shapes` for how it is told."""
        streams = False
        for one in scope():
            ours = self._ours.get((one.method, one.path))
            if ours is not None:
                theirs = self._theirs["paths"][one.path][one.method.lower()]
                yield from self._of(one.id, theirs, ours)
                streams |= "/threads" in one.path and _events(ours) is not None
        if streams:
            yield from self._of_streams()

    def _of(self, id: str, theirs: Json, ours: Json) -> Iterator[str]:
        left, right = _query(theirs), _query(ours)
        for name in sorted({*left, *right}):
            if name not in left or name not in right:
                yield f"{id}.query.{name}: {'only theirs' if name in left else 'only ours'}"
                continue
            yield from self._apart.between(f"{id}.query.{name}", left[name], right[name])
        left_body, right_body = _body(theirs), _body(ours)
        if (left_body is None) != (right_body is None):
            yield f"{id}.request: {'only ours' if left_body is None else 'only theirs'}"
        if left_body is not None and right_body is not None:
            yield from self._apart.between(f"{id}.request", left_body, right_body)
            left_needed, right_needed = _needed(theirs), _needed(ours)
            if left_needed != right_needed:
                yield f"{id}.request: body required: {left_needed} -> {right_needed}"
        left_answer, right_answer = _answer(theirs), _answer(ours)
        if left_answer is not None and right_answer is not None:
            yield from self._apart.between(f"{id}.response", left_answer, right_answer)

    def _of_streams(self) -> Iterator[str]:
        ours = next(
            events
            for (_, path), entry in self._ours.items()
            if path.startswith("/threads") and (events := _events(entry)) is not None
        )
        union = "AssistantStreamEvent"
        schema = {"anyOf": self._theirs["components"]["schemas"][union]["oneOf"]}
        yield from self._apart.between(union, schema, ours)


def _entries(document: Json) -> dict[tuple[str, str], Json]:
    return {
        (method.upper(), _BASE.sub("", path)): entry
        for path, methods in document["paths"].items()
        if _BASE.match(path)
        for method, entry in methods.items()
        if method in _METHODS
    }


def _query(entry: Json) -> dict[str, Any]:
    given = (one for one in entry.get("parameters", ()) if one["in"] == "query")
    return {one["name"]: one["schema"] for one in given}


def _body(entry: Json) -> Any:
    content = entry.get("requestBody", {}).get("content", {})
    media = content.get("application/json") or next(iter(content.values()), None)
    return media.get("schema") if media else None


def _needed(entry: Json) -> bool:
    return bool(entry["requestBody"].get("required", False))


def _answer(entry: Json) -> Any:
    content = entry["responses"].get("200", {}).get("content", {})
    return content.get("application/json", {}).get("schema")


def _events(entry: Json) -> Any:
    content = entry["responses"].get("200", {}).get("content", {})
    return content.get("text/event-stream", {}).get("x-event-schema")
