"""Code in the arguments of a call, shown while the model writes them.

The arguments are a JSON object of which one string is the code, or nothing but the code. What is
told is only what is certain: an escape that is cut, or half of a surrogate pair, waits.
"""

from __future__ import annotations

import re
from typing import Literal

import msgspec

from famulus_runs.repair import decoded, object_text

_FENCED = re.compile(r"\s*```[\w+-]*[ \t]*\n(.*?)\n?```\s*", re.DOTALL)
_SPECIAL = re.compile(r'["\\]')
_ESCAPES = {
    '"': '"', "\\": "\\", "/": "/", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t",
}  # fmt: skip
_UNICODE = re.compile(r"[0-9a-fA-F]{4}")
_SPACE = " \t\r\n"
_LONE = "\ufffd"
"""In the place of half a pair, which no JSON that we send can hold."""

_State = Literal["begin", "key", "in_key", "colon", "value", "skip", "in_skip", "code", "over"]


class CodeInput:
    """Reads one call's arguments as they come."""

    def __init__(self, argument: str) -> None:
        self._argument = argument
        self._raw: list[str] = []
        self._state: _State = "begin"
        self._rest = ""
        """What was not looked at yet."""
        self._depth = 0
        self._high = 0
        self._is_certain = False
        """Whether it was begun to tell what is code."""
        self.is_plain = False
        """Whether the arguments are nothing but the code."""

    def feed(self, text: str) -> str:
        """More of the code."""
        if self.is_plain:
            return text
        if not self._is_certain:
            self._raw.append(text)
        if self._is_over:
            return ""
        self._rest += text
        told = ""
        while self._rest and not self._is_over and not self.is_plain:
            before = self._state, len(self._rest)
            told += self._step()
            if (self._state, len(self._rest)) == before:
                break
        return told

    @property
    def _is_over(self) -> bool:
        return self._state == "over"

    def end(self) -> str:
        """The rest of it, now that the arguments are whole."""
        if self.is_plain or self._is_certain:
            self._state = "over"
            return self._lone()
        raw = "".join(self._raw)
        self._is_certain, self._state = True, "over"
        arguments = object_text(raw)
        if arguments is not None:
            return code_in(arguments, self._argument) or ""
        self.is_plain = True
        fenced = _FENCED.fullmatch(raw)
        return fenced[1] if fenced else raw

    def _step(self) -> str:
        """Look at what comes next; what of it is code."""
        match self._state:
            case "code":
                return self._code()
            case "in_key":
                self._in_key()
            case "skip" | "in_skip":
                self._skip()
            case _:
                self._rest = self._rest.lstrip(_SPACE)
                if self._rest:
                    return self._between(self._rest[0])
        return ""

    def _between(self, char: str) -> str:
        """A character between keys and values. What may yet be put right waits for the end."""
        if self._state == "begin" and char not in '{"`':
            self.is_plain = True
            raw, self._raw, self._rest = "".join(self._raw), [], ""
            return raw
        if self._state == "begin" and char == "{":
            self._move("key", 1)
        elif self._state == "key" and char == '"':
            self._move("in_key", 0)
        elif self._state == "colon" and char == ":":
            self._move("value", 1)
        elif self._state == "value" and char == '"':
            self._move("code", 1)
            self._is_certain, self._raw = True, []
        else:
            self._state = "over"
        return ""

    def _move(self, state: _State, size: int) -> None:
        self._state, self._rest = state, self._rest[size:]

    def _in_key(self) -> None:
        """A whole key, with its quotes."""
        end = 1
        while (found := _SPECIAL.search(self._rest, end)) is not None:
            if found[0] == '"':
                is_it = self._rest[1 : found.start()] == self._argument
                self._move("colon" if is_it else "skip", found.end())
                return
            end = found.end() + 1

    def _skip(self) -> None:
        """The value of another key, to the comma behind it."""
        for at, char in enumerate(self._rest):
            if self._state == "in_skip":
                if char == "\\":
                    if at + 1 == len(self._rest):
                        self._rest = char
                        return
                    self._rest = self._rest[at + 2 :]
                    return
                if char == '"':
                    self._state = "skip"
            elif char == '"':
                self._state = "in_skip"
            elif char in "{[":
                self._depth += 1
            elif char in "}]":
                self._depth -= 1
                if self._depth < 0:
                    self._move("over", at + 1)
                    return
            elif char == "," and not self._depth:
                self._move("key", at + 1)
                return
        self._rest = ""

    # --- the string ---------------------------------------------------------------------------

    def _code(self) -> str:
        found = _SPECIAL.search(self._rest)
        if found is None:
            text, self._rest = self._rest, ""
            return self._lone() + text if text else ""
        if found.start():
            text = self._rest[: found.start()]
            self._rest = self._rest[found.start() :]
            return self._lone() + text
        if found[0] == '"':
            self._move("over", 1)
            return self._lone()
        return self._escape()

    def _escape(self) -> str:
        if len(self._rest) < 2:
            return ""
        if self._rest[1] != "u":
            char = self._rest[1]
            self._rest = self._rest[2:]
            return self._lone() + _ESCAPES.get(char, char)
        if len(self._rest) < 6:
            return ""
        digits = _UNICODE.fullmatch(self._rest[2:6])
        if digits is None:
            self._rest = self._rest[2:]
            return self._lone() + _LONE
        self._rest = self._rest[6:]
        return self._paired(int(digits[0], 16))

    def _lone(self) -> str:
        """Half a pair that waited for the other one, which did not come."""
        high, self._high = self._high, 0
        return _LONE if high else ""

    def _paired(self, unit: int) -> str:
        """What a unit of UTF-16 adds, with the one that waited for it."""
        if 0xDC00 <= unit < 0xE000:
            high, self._high = self._high, 0
            if high:
                return chr(0x10000 + ((high - 0xD800) << 10) + (unit - 0xDC00))
            return _LONE
        lone = self._lone()
        if 0xD800 <= unit < 0xDC00:
            self._high = unit
            return lone
        return lone + chr(unit)


def code_in(arguments: str, argument: str) -> str | None:
    """The code in arguments that are whole; None where there is none."""
    try:
        found = decoded(arguments)
    except ValueError:
        return None
    code = found.get(argument) if isinstance(found, dict) else None
    if not isinstance(code, str):
        return None
    return code.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def arguments_of(code: str, argument: str) -> str:
    """Arguments that hold nothing but the code."""
    return msgspec.json.encode({argument: code}).decode()
