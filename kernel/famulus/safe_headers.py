"""What every answer tells browsers and caches not to do with it."""

from __future__ import annotations

from famulus.server_settings import ServerSettings

Header = tuple[bytes, bytes]

ALWAYS: tuple[Header, ...] = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
)
NOT_KEPT: Header = (b"cache-control", b"no-store")
"""Answers are one project's own; a cache between might give them to another."""

VERSION: Header = (b"openai-version", b"2020-10-01")
"""As OpenAI's servers say it."""

CONSTANT: tuple[Header, ...] = (
    *ALWAYS,
    NOT_KEPT,
    VERSION,
    (b"content-type", b"application/json"),
)
"""What nearly every answer has."""

NO_PAGE: Header = (
    b"content-security-policy",
    b"default-src 'none'; frame-ancestors 'none'; sandbox",
)
"""Of whatever is no JSON and says nothing else: opened in a browser, it may do nothing."""


def hsts_of(settings: ServerSettings, *, on_loopback: bool) -> Header | None:
    """What is said over HTTPS; None where it would bind other servers of a developer's machine."""
    if not settings.hsts_s or (on_loopback and not settings.trusted_proxies):
        return None
    return (b"strict-transport-security", b"max-age=%d" % settings.hsts_s)


def as_text(headers: tuple[Header, ...]) -> str:
    """Headers as lines of a head."""
    return "".join(f"{name.decode()}: {value.decode()}\r\n" for name, value in headers)
