"""The headers of a request, found by one look where Starlette compares every name."""

from __future__ import annotations

from starlette.datastructures import Headers
from starlette.types import Scope

_NAMES_MAX = 1_000
_NAMES: dict[str, bytes] = {}
"""Names as requests bring them. Code asks for few, and always for the same."""


class RequestHeaders(Headers):
    """As Starlette's. A request asks for some ten names, most of which were not sent."""

    def __init__(self, scope: Scope) -> None:
        super().__init__(scope=scope)
        # Of a name that comes twice the first counts.
        self._first: dict[bytes, bytes] = dict(reversed(self.raw))

    def __getitem__(self, key: str) -> str:
        return self._first[_sent(key)].decode("latin-1")

    def __contains__(self, key: object) -> bool:
        return isinstance(key, str) and (_NAMES.get(key) or _sent(key)) in self._first

    def get(self, key: str, default: str | None = None) -> str | None:  # type: ignore[override]
        """The value, or what is given instead."""
        value = self._first.get(_NAMES.get(key) or _sent(key))
        return default if value is None else value.decode("latin-1")


def _sent(key: str) -> bytes:
    name = _NAMES.get(key)
    if name is None:
        name = key.lower().encode("latin-1")
        if len(_NAMES) < _NAMES_MAX:
            _NAMES[key] = name
    return name
