"""Browsers' pages of other origins: none may read an answer unless its origin is listed."""

from __future__ import annotations

import re

from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

from famulus.mistakes import ConfigError
from famulus.server_settings import ServerSettings

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
EXPOSED = (
    "x-request-id",
    "openai-version",
    "openai-processing-ms",
    "retry-after",
    "idempotent-replayed",
    "content-disposition",
    *(
        f"x-ratelimit-{what}-{which}"
        for what in ("limit", "remaining", "reset")
        for which in ("requests", "tokens")
    ),
)
"""What of an answer a page may read besides what every page may."""
PREFLIGHT_S = 600
"""For how long a browser may know what it may ask; some allow no more."""

_ORIGIN = re.compile(r"https?://(\[[0-9a-f:.]+\]|[a-z0-9_.-]+)(:[0-9]{1,5})?")


class Cors:
    """Lets pages of the listed origins in to the API with a key, and those of others not.

    Cookies are never asked for: a page sends its key itself, so no other page can have it sent.
    """

    def __init__(self, app: ASGIApp, origins: frozenset[bytes]) -> None:
        self._app = app
        self._origins = origins
        self._for_them = CORSMiddleware(
            app,
            allow_origins=[origin.decode() for origin in origins],
            allow_methods=METHODS,
            allow_headers=("*",),
            allow_credentials=False,
            expose_headers=EXPOSED,
            max_age=PREFLIGHT_S,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        for name, value in scope["headers"]:
            if name == b"origin" and value in self._origins:
                await self._for_them(scope, receive, send)
                return
        # As without any of this: a preflight has no key, and so gets no answer but that.
        await self._app(scope, receive, send)


def allowed(settings: ServerSettings) -> frozenset[bytes]:
    """The listed origins. Raises ConfigError."""
    return frozenset(_checked(origin).encode() for origin in settings.cors_origins)


def _checked(given: str) -> str:
    origin = given.lower()
    if _ORIGIN.fullmatch(origin):
        return origin
    raise ConfigError(
        f"[server] cors_origins: {given!r} is no origin; give scheme, host and port as browsers "
        'do, as "https://app.example.com", one by one: there is no "*"'
    )
