"""The words of a text, in the one form in which they are kept and looked for.

Case, accents and the ways in which Unicode can write the same letter make no difference. Scripts
that put no spaces between words are taken letter by letter.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final
from unicodedata import normalize

WORD_CHARACTERS_MAX: Final = 64
"""What is longer is no word that anybody types; it is cut, when kept and when looked for."""

Term = tuple[str, ...]
"""Words that stand one after the other; mostly one."""

_ACCENTS: Final = re.compile("[\u0300-\u036f]+")
_WORD: Final = re.compile(r"[^\W_]+")
_UNSPACED: Final = re.compile("[\u2e80-\u2fdf\u3005-\u3007\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]")
_APART: Final = re.compile(f"{_UNSPACED.pattern}|[^{_UNSPACED.pattern[1:-1]}]+")
_QUOTED: Final = re.compile('["\u201c\u201d\u201e\u00ab\u00bb]')


def folded(text: str) -> str:
    """The text without case and accents."""
    if not text.isascii():
        text = normalize("NFKC", _ACCENTS.sub("", normalize("NFKD", text)))
    return text.casefold()


def spaced(text: str) -> str:
    """The text's words with spaces between them, as they are kept."""
    return " ".join(word for term in terms(text) for word in term)


def terms(text: str) -> Iterator[Term]:
    """The text's words in order; letters of a script without spaces are one term together."""
    for word in _WORD.findall(folded(text)):
        if word.isascii() or not _UNSPACED.search(word):
            yield (word[:WORD_CHARACTERS_MAX],)
        else:
            yield tuple(part[:WORD_CHARACTERS_MAX] for part in _APART.findall(word))


def looked_for(text: str, *, words_max: int) -> tuple[list[Term], list[Term]]:
    """What a query asks for: its terms, each once, and phrases that count more than their words.

    Phrases are what stands in quotes, and what stands side by side.
    """
    found: dict[Term, None] = {}
    phrases: dict[Term, None] = {}
    count = 0
    for number, part in enumerate(_QUOTED.split(text)):
        before: Term = ()
        quoted: Term = ()
        for term in terms(part):
            if count + len(term) > words_max:
                return list(found), list(phrases)
            count += len(term)
            found[term] = None
            quoted += term
            if before:
                phrases[before + term] = None
            before = term
        # Between the first quote and the second, the third and the fourth, and so on.
        if number % 2 and len(quoted) > 2:
            phrases[quoted] = None
    return list(found), list(phrases)
