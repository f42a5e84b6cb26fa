"""A function's result, read out in a sentence."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from famulus_builtin.conversation import ToolResult

PAIRS_MAX = 24
CHARS_MAX = 1_200
DEPTH_MAX = 8


def sentence(result: ToolResult) -> str:
    """What the function answered; JSON is read as `key: value`."""
    who = f"The function {result.name}" if result.name else "The function"
    text = result.text.strip()
    if not text:
        return f"{who} answered nothing."
    return f"{who} answered: {_ended(spoken(text))}"


def spoken(text: str) -> str:
    """A text as it is, or JSON as its keys and values."""
    try:
        value = msgspec.json.decode(text)
    except msgspec.DecodeError:
        return _shortened(" ".join(text.split()))
    if isinstance(value, dict | list) and value:
        return _shortened(_pairs(value))
    return _shortened(_plain(value))


def known(result: ToolResult) -> dict[str, Any]:
    """What a result says by name, for filling in an answer that has the same names."""
    try:
        value = msgspec.json.decode(result.text)
    except msgspec.DecodeError:
        return {}
    return value if isinstance(value, dict) else {}


def _pairs(value: Any) -> str:
    found: list[str] = []
    for path, one in _leaves(value, "", 0):
        if len(found) == PAIRS_MAX:
            return "; ".join([*found, "and more"])
        found.append(f"{path}: {_plain(one)}" if path else _plain(one))
    return "; ".join(found)


def _leaves(value: Any, path: str, depth: int) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict) and value and depth < DEPTH_MAX:
        for key, one in value.items():
            yield from _leaves(one, f"{path}.{key}" if path else str(key), depth + 1)
    elif isinstance(value, list) and value and depth < DEPTH_MAX:
        if not any(isinstance(one, dict | list) for one in value):
            yield path, ", ".join(_plain(one) for one in value)
            return
        for number, one in enumerate(value, 1):
            yield from _leaves(one, f"{path} {number}".strip(), depth + 1)
    else:
        yield path, value


def _plain(value: Any) -> str:
    if isinstance(value, str):
        return value
    return msgspec.json.encode(value).decode()


def _shortened(text: str) -> str:
    return text if len(text) <= CHARS_MAX else f"{text[:CHARS_MAX].rstrip()} \u2026"


def _ended(text: str) -> str:
    return text if text[-1:] in ".!?\u2026" else f"{text}."
