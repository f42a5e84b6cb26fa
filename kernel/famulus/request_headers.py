"""The headers of a request, found by one look where Starlette compares every name."""

from __future__ import annotations

from starlette.datastructures import Headers
from starlette.types import Scope


class RequestHeaders(Headers):
    """As Starlette's. A request asks for some ten names, most of which were not sent."""

    def __init__(self, scope: Scope) -> None:
        super().__init__(scope=scope)
        # Of a name that comes twice the first counts.
        self._first: dict[bytes, bytes] = dict(reversed(self.raw))

    def __getitem__(self, key: str) -> str:
        return self._first[key.lower().encode("latin-1")].decode("latin-1")

    def __contains__(self, key: object) -> bool:
        return isinstance(key, str) and key.lower().encode("latin-1") in self._first

    def get(self, key: str, default: str | None = None) -> str | None:  # type: ignore[override]
        """The value, or what is given instead."""
        value = self._first.get(key.lower().encode("latin-1"))
        return default if value is None else value.decode("latin-1")
