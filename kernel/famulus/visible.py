"""What strangers have written, as it may be shown on a terminal: names move no cursor there."""

from __future__ import annotations

import json


def visible(text: str) -> str:
    """The text with escapes such as `\\x1b` for all that is not printed but acted upon."""
    if text.isprintable():
        return text
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode() for each in text
    )


def visible_json(data: bytes) -> str:
    """The same JSON in one line, or in those that it has, with JSON's own escapes likewise."""
    text = data.decode()
    if text.isprintable():
        return text
    # Between strings, JSON has nothing of the kind but its line breaks.
    return "".join(
        each if each == "\n" or each.isprintable() else json.dumps(each)[1:-1] for each in text
    )
