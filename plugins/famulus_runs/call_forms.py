"""How models without a tool-call parser write a call as text, and how such a text is read.

    <tool_call>{"name": ..., "arguments": {...}}</tool_call>            Hermes, Qwen
    <|python_tag|>{"name": ..., "parameters": {...}}                    Llama 3
    <function=name>{...}</function>                                     Llama 3, custom tools
    [TOOL_CALLS] [{"name": ..., "arguments": {...}}]                    Mistral
    [TOOL_CALLS]name[ARGS]{...}                                         Mistral, newer
    {"name": ..., "parameters": {...}}, also in a list or a code fence  Llama 3 and many others
    functions.name({...})

The first five are marked: nothing else begins so. The others are what any text may hold.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from typing import NamedTuple

import msgspec

from famulus_runs.repair import json_text, object_text

TAG_CHARS_MAX = 32
"""Longer ones are no ends of calls."""

_NAME_KEYS = ("name", "function")
_ARGUMENT_KEYS = ("arguments", "parameters")
_KEYS = (*_NAME_KEYS, *_ARGUMENT_KEYS, "type", "id")
_FENCE_TAGS = ("", "json", "tool_call", "tool_calls")

_SPACE = re.compile(r"\s*")
_WORD = re.compile(r"[\w-]*")
_BROKEN_NAME = re.compile(r"""["']name["']\s*:\s*["']([\w-]+)["']""")
_BROKEN_ARGUMENTS = re.compile(r"""["'](?:arguments|parameters)["']\s*:\s*""")
_TRAILER = re.compile(r"\s+|```|</\w{1,24}>|<\|\w{1,24}\|>|[;,)]")
_LAST_TAG = re.compile(r"(?:</\w{1,24}>|<\|\w{1,24}\|>)\Z")
_TRAILER_BEGUN = re.compile(r"`{1,2}|<(?:/\w{0,24})?|<\|\w{0,24}\|?")


class TextualCall(NamedTuple):
    """A call that was written as text; `arguments` is JSON unless it was beyond repair."""

    name: str
    arguments: str


class Opening(NamedTuple):
    """The beginning of a text that calls an offered function."""

    value_at: int
    """Where its JSON begins."""
    name: str | None
    """The function, where the JSON holds only the arguments."""
    is_marked: bool
    is_fenced: bool


class Mismatch(Exception):
    """The text is no call."""


class Undecided(Exception):
    """The text is too short to tell."""


def opening(text: str, names: Collection[str], *, unmarked: bool) -> Opening:
    """Read the beginning of a call, up to the function's name. Raises Mismatch, Undecided."""
    return _Reader(text, names).opening(unmarked=unmarked)


class _Reader:
    def __init__(self, text: str, names: Collection[str]) -> None:
        self._text = text
        self._names = names
        self._at = 0

    def opening(self, *, unmarked: bool) -> Opening:
        first = self._text[:1]
        if first == "<":
            return self._tagged()
        if first == "[" and "[TOOL_CALLS]".startswith(self._text[:12]):
            return self._mistral()
        if not unmarked:
            raise Mismatch
        if first == "`":
            return self._fenced()
        return self._bare(is_fenced=False)

    # --- forms --------------------------------------------------------------------------------

    def _tagged(self) -> Opening:
        tag = self._one_of(("<tool_call>", "<|python_tag|>", "<function="))
        name = None
        if tag == "<function=":
            name = self._name()
            self._literal(">")
        return self._value(name, is_marked=True)

    def _mistral(self) -> Opening:
        self._literal("[TOOL_CALLS]")
        self._space()
        if self._peek() in "[{":
            return self._value(None, is_marked=True)
        name = self._name()
        if self._peek() == "[":
            self._literal("[ARGS]")
        return self._value(name, is_marked=True)

    def _fenced(self) -> Opening:
        self._literal("```")
        self._word(_FENCE_TAGS)
        self._space()
        if self._peek() == "<":
            return self._tagged()
        return self._bare(is_fenced=True)

    def _bare(self, *, is_fenced: bool) -> Opening:
        name = None
        if self._peek() == "f":
            self._literal("functions.")
            name = self._name()
            self._space()
            self._literal("(")
        return self._value(name, is_marked=False, is_fenced=is_fenced)

    def _value(self, name: str | None, *, is_marked: bool, is_fenced: bool = False) -> Opening:
        self._space()
        opened = Opening(self._at, name, is_marked, is_fenced)
        if name is not None:
            self._literal("{")
            return opened
        if self._peek() == "[":
            self._at += 1
            self._space()
        self._call()
        return opened

    def _call(self) -> None:
        """Read a call's object up to the name of an offered function."""
        self._literal("{")
        while True:
            self._space()
            key = self._string(_KEYS) if self._peek() in "\"'" else self._word(_KEYS)
            self._space()
            self._literal(":")
            self._space()
            if key == "function" and self._peek() == "{":
                return self._call()
            if key in _NAME_KEYS:
                self._string(self._names)
                return None
            self._skip(key)
            self._space()
            self._literal(",")

    def _skip(self, key: str) -> None:
        if key == "type":
            self._string(("function",))
        elif key == "id":
            self._string(None)
        else:
            end = Brackets().end_in(self._text[self._at :])
            if end is None:
                raise Undecided
            self._at += end

    # --- words --------------------------------------------------------------------------------

    def _peek(self) -> str:
        if self._at == len(self._text):
            raise Undecided
        return self._text[self._at]

    def _space(self) -> None:
        found = _SPACE.match(self._text, self._at)
        assert found is not None
        self._at = found.end()

    def _literal(self, word: str) -> None:
        self._one_of((word,))

    def _one_of(self, words: Sequence[str]) -> str:
        for word in words:
            if self._text.startswith(word, self._at):
                self._at += len(word)
                return word
        self._begun(self._text[self._at :], words)
        raise Mismatch

    def _word(self, words: Collection[str]) -> str:
        found = _WORD.match(self._text, self._at)
        assert found is not None
        if found.end() == len(self._text):
            self._begun(found[0], words)
        if found[0] not in words:
            raise Mismatch
        self._at = found.end()
        return found[0]

    def _name(self) -> str:
        return self._word(self._names)

    def _string(self, allowed: Collection[str] | None) -> str:
        quote = self._peek()
        if quote not in "\"'":
            raise Mismatch
        end = self._text.find(quote, self._at + 1)
        content = self._text[self._at + 1 : end if end >= 0 else None]
        if end < 0:
            if allowed is None:
                raise Undecided
            self._begun(content, allowed)
        if allowed is not None and content not in allowed:
            raise Mismatch
        self._at = end + 1
        return content

    def _begun(self, text: str, words: Collection[str]) -> None:
        """Raises Undecided where a word begins so."""
        if any(word.startswith(text) for word in words):
            raise Undecided


class Brackets:
    """Finds the end of a JSON value that comes in pieces, however badly it is written."""

    def __init__(self) -> None:
        self._depth = 0
        self._quote = ""
        self._is_escaped = False

    def end_in(self, piece: str) -> int | None:
        """How much of the piece belongs to the value; None where it may go on after it."""
        for at, char in enumerate(piece):
            if self._quote:
                self._in_string(char)
            elif char in "\"'":
                self._quote = char
            elif char in "{[":
                self._depth += 1
            elif char in "}]":
                self._depth -= 1
                if self._depth <= 0:
                    return at + 1
            elif char in "<`":
                # In JSON they stand only in strings: the value was left open.
                return at
        return None

    def _in_string(self, char: str) -> None:
        if self._is_escaped:
            self._is_escaped = False
        elif char == "\\":
            self._is_escaped = True
        elif char == self._quote:
            self._quote = ""


# --- reading what is complete ---------------------------------------------------------------------


def calls_in(value: str, opened: Opening, names: Collection[str]) -> list[TextualCall] | None:
    """The calls that a complete value makes; None where it makes none.

    A marked call whose arguments are beyond repair is one still: the model must be told.
    """
    if opened.name is not None:
        arguments = object_text(value)
        if arguments is None and not opened.is_marked:
            return None
        return [TextualCall(opened.name, value if arguments is None else arguments)]
    text = json_text(value)
    if text is None:
        return _broken(value, names) if opened.is_marked else None
    parts = _parts(text)
    calls = [_call_of(part, names, is_marked=opened.is_marked) for part in parts]
    found = [call for call in calls if call is not None]
    return found if found and len(found) == len(calls) else None


def _parts(text: str) -> list[dict[str, msgspec.Raw]]:
    """The objects of a list, or the one object; their values undecoded, as they were written."""
    kind = list[dict[str, msgspec.Raw]] if text.lstrip().startswith("[") else None
    try:
        if kind is not None:
            return msgspec.json.decode(text, type=kind)
        return [msgspec.json.decode(text, type=dict[str, msgspec.Raw])]
    except msgspec.ValidationError:
        return []


def _call_of(
    part: dict[str, msgspec.Raw], names: Collection[str], *, is_marked: bool
) -> TextualCall | None:
    if "function" in part and bytes(part["function"]).startswith(b"{"):
        inner = _parts(bytes(part.pop("function")).decode())
        part = {**part, **inner[0]} if inner else part
    name = next((_string_of(part[key]) for key in _NAME_KEYS if key in part), None)
    written = [bytes(part[key]).decode() for key in _ARGUMENT_KEYS if key in part]
    if name not in names or name is None:
        return None
    if is_marked:
        text = written[0] if written else "{}"
        return TextualCall(name, object_text(text) or text)
    if not written or not set(part) <= set(_KEYS):
        # An object with a name of its own, such as a person's.
        return None
    arguments = object_text(written[0])
    return TextualCall(name, arguments) if arguments is not None else None


def _string_of(raw: msgspec.Raw) -> str | None:
    value = msgspec.json.decode(raw)
    return value if isinstance(value, str) else None


def _broken(value: str, names: Collection[str]) -> list[TextualCall] | None:
    """A call that names a function and holds no JSON."""
    found = _BROKEN_NAME.search(value)
    if found is None or found[1] not in names:
        return None
    arguments = _BROKEN_ARGUMENTS.search(value)
    text = value[arguments.end() :] if arguments else value
    return [TextualCall(found[1], object_text(text) or text)]


# --- what may stand between and after calls -------------------------------------------------------


def trailer(text: str) -> int:
    """How much of the text, at its beginning, is only the end of a call or a separator."""
    found = _TRAILER.match(text)
    return found.end() if found else 0


def is_trailer_begun(text: str) -> bool:
    """Whether the text is the beginning of such a thing."""
    return _TRAILER_BEGUN.fullmatch(text) is not None


def is_trailing(text: str) -> bool:
    """Whether the text holds nothing else."""
    while end := trailer(text):
        text = text[end:]
    return not text or is_trailer_begun(text)


def without_trailers(text: str) -> str:
    """The text less what stands after a call."""
    while True:
        text = text.rstrip(" \t\r\n;,)`")
        tag = _LAST_TAG.search(text, max(0, len(text) - TAG_CHARS_MAX))
        if tag is None:
            return text
        text = text[: tag.start()]
