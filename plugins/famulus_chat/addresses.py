"""Addresses in requests, from which a model's server would fetch pictures, sounds and films."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
from msgspec import Raw

from famulus import Problem
from famulus_schemas.errors import INVALID

_MARKS = (b'_url"', b"\\u")
"""Without one of them no key ends so; the second may write any sign of the first."""


def refuse_addresses(body: Mapping[str, Raw]) -> None:
    """Raise Problem for the first part of a message that gives something by an address."""
    raw = body.get("messages")
    if raw is None or not any(mark in bytes(raw) for mark in _MARKS):
        return
    try:
        messages = msgspec.json.decode(raw)
    except msgspec.DecodeError:
        return
    for param, url in _addresses(messages):
        if not url.lower().startswith("data:"):
            reason = "this server lets models be shown data URLs, and nothing by its address."
            raise Problem(INVALID, param=param, name=param, reason=reason)


def _addresses(messages: Any) -> Iterator[tuple[str, str]]:
    """Every URL of a part, by its place; what has another form is the model server's to refuse."""
    for at, message in enumerate(messages if isinstance(messages, list) else ()):
        content = message.get("content") if isinstance(message, dict) else None
        for number, part in enumerate(content if isinstance(content, list) else (content,)):
            for key, given in part.items() if isinstance(part, dict) else ():
                if not key.endswith("_url"):
                    continue
                url = given.get("url") if isinstance(given, dict) else given
                if isinstance(url, str):
                    yield f"messages[{at}].content[{number}].{key}", url
