"""JSON that a model wrote nearly right, put right where there is only one thing it can mean.

Trailing commas, single quotes, Python's True, False and None, names without quotes, line breaks
inside strings, brackets left open or closed once too often at the end, a code fence around, and
an object that was encoded twice. Whatever might mean something else is left as it is.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

_FENCE = re.compile(r"```[\w+-]*[ \t]*\n?(.*?)(?:```)?", re.DOTALL)
_TOKEN = re.compile(
    r"""
    (?P<space>\s+)
    | (?P<mark>[{}\[\],:])
    | (?P<string>"[^"\\]*(?:\\.[^"\\]*)*" | '[^'\\]*(?:\\.[^'\\]*)*')
    | (?P<number>-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?(?!\w))
    | (?P<word>[A-Za-z_]\w*)
    """,
    re.DOTALL | re.VERBOSE,
)
_IN_STRING = re.compile(r'\\.|["\x00-\x1f]', re.DOTALL)
_ESCAPES = {"\n": "\\n", "\r": "\\r", "\t": "\\t", '"': '\\"', "\\'": "'"}
_WORDS = {"true": "true", "false": "false", "null": "null"} | {
    "True": "true",
    "False": "false",
    "None": "null",
}
_CLOSES = {"{": "}", "[": "]"}


def decoded(text: str) -> Any:
    """The value of a JSON text. Raises ValueError for whatever is none."""
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise ValueError(str(error)) from error


def is_json(text: str) -> bool:
    """Whether every client can decode it."""
    try:
        decoded(text)
    except ValueError:
        return False
    return True


def json_text(text: str) -> str | None:
    """The JSON that the text is, or certainly means; None where that cannot be told."""
    if is_json(text):
        return text
    bare = text.strip()
    if fenced := _FENCE.fullmatch(bare):
        bare = fenced[1].strip()
    mended = bare if is_json(bare) else _Rewriting().of(bare)
    return mended if mended is not None and is_json(mended) else None


def object_text(text: str) -> str | None:
    """A call's arguments as a JSON object; nothing and null are no arguments."""
    if not text.strip():
        return "{}"
    found = json_text(text)
    if found is None:
        return None
    value = decoded(found)
    if value is None or (isinstance(value, str) and not value.strip()):
        return "{}"
    if isinstance(value, str):
        # Encoded twice; one that is a string even then is a string.
        found = json_text(value)
        value = None if found is None else decoded(found)
    return found if isinstance(value, dict) else None


class _Rewriting:
    """Reads what is nearly JSON token by token and writes JSON, or gives up."""

    def __init__(self) -> None:
        self._out: list[str] = []
        self._open: list[str] = []
        self._wants = "value"
        """One of: value, key, colon, comma, nothing."""
        self._has_comma = False
        """A comma that is written only if something follows it."""

    def of(self, text: str) -> str | None:
        """The text as JSON; None where a token is not where it could be."""
        at = 0
        while at < len(text):
            token = _TOKEN.match(text, at)
            if token is None or not self._take(str(token.lastgroup), token[0]):
                return None
            at = token.end()
        return self._ended()

    def _ended(self) -> str | None:
        # After a comma, a colon or a bracket something is missing, and nobody knows what.
        if self._wants == "comma":
            self._out += [_CLOSES[bracket] for bracket in reversed(self._open)]
        elif self._wants != "nothing":
            return None
        return "".join(self._out)

    def _take(self, kind: str, text: str) -> bool:
        if kind == "space":
            return True
        if self._wants == "nothing":
            return text in "}]"
        if kind == "mark":
            return self._take_mark(text)
        if kind == "string":
            return self._take_item(_quoted(text[1:-1]))
        if kind == "word":
            written = _quoted(text) if self._wants == "key" else _WORDS.get(text)
            return written is not None and self._take_item(written)
        return self._wants == "value" and self._take_item(text)

    def _take_mark(self, mark: str) -> bool:
        if mark in "{[":
            return self._wants == "value" and self._take_opening(mark)
        if mark in "}]":
            return self._take_closing(mark)
        if mark == ",":
            if self._wants != "comma":
                return False
            self._has_comma = True
            self._wants = "key" if self._open[-1] == "{" else "value"
            return True
        if self._wants != "colon":
            return False
        self._out.append(":")
        self._wants = "value"
        return True

    def _take_opening(self, bracket: str) -> bool:
        self._write(bracket)
        self._open.append(bracket)
        self._wants = "key" if bracket == "{" else "value"
        return True

    def _take_closing(self, bracket: str) -> bool:
        if not self._open or _CLOSES[self._open[-1]] != bracket:
            return False
        is_empty = self._out[-1] == self._open[-1]
        if self._wants != "comma" and not self._has_comma and not is_empty:
            return False
        self._has_comma = False
        self._out.append(bracket)
        self._open.pop()
        self._after_value()
        return True

    def _take_item(self, written: str) -> bool:
        if self._wants not in ("key", "value"):
            return False
        is_key = self._wants == "key"
        self._write(written)
        if is_key:
            self._wants = "colon"
        else:
            self._after_value()
        return True

    def _write(self, written: str) -> None:
        if self._has_comma:
            self._out.append(",")
            self._has_comma = False
        self._out.append(written)

    def _after_value(self) -> None:
        self._wants = "comma" if self._open else "nothing"


def _quoted(content: str) -> str:
    return '"' + _IN_STRING.sub(_escaped, content) + '"'


def _escaped(found: re.Match[str]) -> str:
    text = found[0]
    if text in _ESCAPES:
        return _ESCAPES[text]
    return text if text[0] == "\\" else f"\\u{ord(text):04x}"
