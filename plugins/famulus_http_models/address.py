"""Where a model server is: one base URL, made whole and checked."""

from __future__ import annotations

from urllib.parse import urlsplit

import msgspec


class Address(msgspec.Struct, frozen=True):
    """A server's URLs, none of them with a slash at the end."""

    api: str
    """What `/chat/completions` is added to."""
    root: str
    """What the server's own paths, such as `/version`, are added to."""
    label: str
    """Host and port, to call it by."""

    @classmethod
    def parse(cls, url: str) -> Address:
        """Complete a URL as people write it. Raises ValueError saying what would be accepted."""
        parts = urlsplit(url)
        try:
            port = parts.port
        except ValueError as error:
            raise ValueError(f"{_shown(url)}: {error}") from error
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"{_shown(url)} must look like http://127.0.0.1:8000/v1")
        if parts.username or parts.password:
            raise ValueError(f"{_shown(url)} must not hold a password; use api_key or headers")
        if parts.query or parts.fragment:
            raise ValueError(f"{_shown(url)} must end with its path")
        origin = f"{parts.scheme}://{parts.netloc}"
        path = parts.path.rstrip("/") or "/v1"
        host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
        return cls(
            api=origin + path,
            root=origin + path.removesuffix("/v1"),
            label=f"{host}:{port}" if port else host,
        )


def _shown(url: str) -> str:
    """The URL without what may be a password."""
    return f"the URL {url.rpartition('@')[2].partition('?')[0]!r}"
