"""Pure ASGI layers around the server."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from starlette.types import ASGIApp


class Layer(msgspec.Struct, frozen=True, kw_only=True):
    """One layer; `factory` takes the inner app and returns the outer one.

    A layer must pass messages on as they come: one that gathers a response would hold back
    every stream.
    """

    name: str
    factory: Callable[[ASGIApp], ASGIApp]
    order: int = 100
    """Smaller is further out."""
