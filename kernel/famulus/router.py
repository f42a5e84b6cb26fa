"""Method and path to operation: a trie of segments, as fast at the last route as at the first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Generic, TypeVar

T = TypeVar("T")

REST = ":path"


class _Node(Generic[T]):
    __slots__ = ("literal", "methods", "parameter", "rest")

    def __init__(self) -> None:
        self.literal: dict[str, _Node[T]] = {}
        self.parameter: _Node[T] | None = None
        self.rest: dict[str, T] = {}
        """Routes whose last name takes the rest of the path, slashes and all."""
        self.methods: dict[str, T] = {}


class DuplicateRoute(Exception):
    """Two routes of one method and shape."""


class Router(Generic[T]):
    """Routes of one world."""

    def __init__(self) -> None:
        self._root: _Node[T] = _Node()

    def add(self, method: str, path: str, target: T) -> None:
        """Add a route; `{name}` is one segment, `{name:path}` at the end is all that is left."""
        node = self._root
        segments = path[1:].split("/")
        for at, segment in enumerate(segments):
            if segment.startswith("{") and segment.endswith(REST + "}"):
                assert at == len(segments) - 1, f"{path}: {segment} must come last"
                _put(node.rest, method, path, target)
                return
            if segment.startswith("{"):
                node.parameter = node.parameter or _Node()
                node = node.parameter
            else:
                node = node.literal.setdefault(segment, _Node())
        _put(node.methods, method, path, target)

    def find(self, path: str) -> tuple[dict[str, T], Sequence[str]] | None:
        """The methods at a path and the values of its names, in order; None where none is."""
        values: list[str] = []
        return self._walk(self._root, path[1:].split("/"), 0, values)

    def _walk(
        self, node: _Node[T], segments: list[str], at: int, values: list[str]
    ) -> tuple[dict[str, T], Sequence[str]] | None:
        if at == len(segments):
            return (node.methods, values) if node.methods else None
        segment = segments[at]
        literal = node.literal.get(segment)
        if literal is not None:
            found = self._walk(literal, segments, at + 1, values)
            if found is not None:
                return found
        if node.parameter is not None and segment:
            values.append(segment)
            found = self._walk(node.parameter, segments, at + 1, values)
            if found is not None:
                return found
            values.pop()
        if node.rest and segment:
            return node.rest, [*values, "/".join(segments[at:])]
        return None


def _put(methods: dict[str, T], method: str, path: str, target: T) -> None:
    if method in methods:
        raise DuplicateRoute(f"{method} {path}")
    methods[method] = target
