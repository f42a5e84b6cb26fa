"""Which texts PostgreSQL can hold, and how those that it cannot are looked up all the same."""

from __future__ import annotations

from hashlib import sha256

VALUE_CHARACTERS_MAX = 256
"""Of an index value. A B-tree entry ends at 2704 bytes, and long keys make a slow index."""

KEPT_SEPARATOR = "\x1f"
"""Joins the names of an index in one text, so no name may hold it."""

_DIGEST = "sha256:"


def is_storable(text: str) -> bool:
    """Whether a text column can hold it: no NUL, and nothing that UTF-8 has no bytes for."""
    if "\x00" in text:
        return False
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def indexed(value: str) -> str:
    """What is stored and searched for an index value: itself, or a digest of it.

    Values are only ever compared for equality, so a digest does as well. One that looks like a
    digest becomes one too: no value can be made to equal another's.
    """
    if len(value) <= VALUE_CHARACTERS_MAX and is_storable(value) and not value.startswith(_DIGEST):
        return value
    return _DIGEST + sha256(value.encode("utf-8", "surrogatepass")).hexdigest()
