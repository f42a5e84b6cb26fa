"""Whether a key that somebody thought up is fit to keep strangers out."""

from __future__ import annotations

LENGTH_MIN = 20
CHARACTERS_MIN = 8
"""Different ones: what repeats itself is soon guessed."""

PLACEHOLDERS = (
    "changeme",
    "change-me",
    "change_me",
    "example",
    "insert",
    "password",
    "placeholder",
    "replace",
    "your-api-key",
    "your-key",
    "your_api_key",
    "your_key",
    "yourkey",
    "1234567890",
    "abcdefgh",
)
"""What stands in documents for a key, and is the first that anybody tries."""


def weakness(key: str) -> str | None:
    """Why a key must not be the one of a server that others can reach; None where it may."""
    if len(key) < LENGTH_MIN:
        return f"it has fewer than {LENGTH_MIN} characters"
    if len(set(key)) < CHARACTERS_MIN:
        return f"it has fewer than {CHARACTERS_MIN} different characters"
    lower = key.lower()
    if any(each in lower for each in PLACEHOLDERS):
        return "it is one that stands in documents for a key"
    return None
