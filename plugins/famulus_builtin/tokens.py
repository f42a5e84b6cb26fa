"""The stand-in's tokens: a rule, not a vocabulary, of about the length of a real model's."""

from __future__ import annotations

import re
from collections.abc import Iterator

_TOKEN = re.compile(r"\s?[^\W\d_]{1,7}|\s?\d{1,3}|\s?(?:[^\w\s]|_)|\s{1,16}")
_WORD = re.compile(r"\s*\S+|\s+")


def count(text: str) -> int:
    """How many tokens a text is: pieces of up to 7 letters, 3 digits, 16 blanks or one sign."""
    return len(_TOKEN.findall(text))


def cut(text: str, tokens_max: int) -> str:
    """The first `tokens_max` tokens of a text."""
    end = 0
    for number, token in enumerate(_TOKEN.finditer(text)):
        if number == tokens_max:
            break
        end = token.end()
    return text[:end]


def in_words(text: str) -> Iterator[str]:
    """The text cut before each space, so that the pieces joined are the text again."""
    return (piece.group() for piece in _WORD.finditer(text))
