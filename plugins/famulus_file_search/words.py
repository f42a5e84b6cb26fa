"""A sentence as the words by which it is compared with another."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from itertools import pairwise
from typing import Literal

import msgspec

from famulus_file_search.lexicon import (
    ALIKE,
    BOUNDS,
    EMPTY,
    EXCEPTIONS,
    GENERIC,
    IRREGULAR,
    JOINTS,
    MONTHS,
    NEGATIONS,
    NUMBERS,
    ORDINALS,
    TENS,
    UNIT_NAMES,
    UNITS,
)
from famulus_indexes.stems import stem

Kind = Literal["number", "name", "word", "wide", "generic", "empty"]
"""`wide` are letters of what is written without blanks."""

_TOKEN = re.compile(
    r"(?P<number>\d+(?:[.,:]\d+)*(?![^\W\d_]*\d))(?P<suffix>(?:st|nd|rd|th)\b)?"
    r"|(?P<word>[^\W_]+(?:['\u2019][^\W_]+)*)"
    r"|(?P<sign>[%\u20ac$\u00a3])"
    r"|(?P<stop>[,;:()\u2013\u2014\u2026.!?])"
)
_GLANCE = re.compile(r"\d+(?:[.,:]\d+)*|[^\W\d_][^\W_]*(?:'s)?|[%\u20ac$\u00a3]")
_LARGE = re.compile(r"(?<=[^\W\d_][ ,] )\b[^\W\d_a-z][^\W_]+|(?<=[^\W\d_] )[^\W\d_a-z][^\W_]+")
_THOUSANDS = re.compile(r"[.,](?=\d{3}(?:\D|$))")
_WIDE = re.compile("[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af]+")
_DENIALS = re.compile(
    "[\u4e0d\u6ca1\u6c92\u7121\u65e0\u672a\u52ff\u83ab\u975e]|\u306a\u3044|\u307e\u305b\u3093|\uc54a|\uc5c6|\ubabb"
)
_ENDINGS = (
    *("ation", "ition", "ment", "ally", "able", "ible", "ness", "ion", "ity", "ive", "al"),
    *("ly", "y"),
)
_BASE_CHARS_MIN = 4
YEAR_CHARS = 4
NEGATED_WORDS = 3
"""So many after a word that negates may be meant by it."""


class Token(msgspec.Struct, frozen=True):
    """One word or number of a sentence."""

    text: str
    """In lower case."""
    key: str
    """What equal ones have in common; of a number, one way to read it."""
    kind: Kind
    place: int
    """How many tokens stand before it."""
    segment: int
    """How many ends of parts do: commas, and words such as `and`."""
    unit: str = ""
    """Of a number: what it counts, where that is said right behind it."""
    bound: str = ""
    """Of a number: `min` or `max`, where it is one."""
    counts: str = ""
    """Of a number: the key of the word right behind it."""
    rate: str = ""
    """Of a number: `each`, or the key of what it is counted by, as in a price a month."""
    is_day: bool = False
    """Of a number: whether it is the day of a date."""


class Words(msgspec.Struct, frozen=True):
    """A sentence, word by word."""

    tokens: tuple[Token, ...]
    negated: tuple[tuple[int, frozenset[str]], ...]
    """For each word that negates, its segment and the keys of what it does."""
    raw: frozenset[str]
    """All words in lower case."""
    denials: int = 0
    """Signs that deny, where words are written without blanks."""

    @property
    def content(self) -> list[Token]:
        """The words that mean something."""
        return [token for token in self.tokens if token.kind != "empty"]


def words_of(sentence: str, names: frozenset[str] = frozenset()) -> Words:
    """Read a sentence. `names` are words that are known as such, in lower case."""
    tokens = list(_tokens(sentence, names))
    tokens = [_with_unit(token, tokens) for token in tokens]
    raw = frozenset(token.text for token in tokens)
    denials = len(_DENIALS.findall(sentence))
    return Words(tuple(tokens), tuple(_negated(tokens)), raw, denials)


def names_in(sentence: str) -> Iterator[str]:
    """Words that can only be names: written large, and not because a sentence begins."""
    return (found[0].lower() for found in _LARGE.finditer(sentence))


def keys_in(sentence: str) -> frozenset[str]:
    """The keys of its words, seen at a glance: numbers of several words are not put together."""
    keys: set[str] = set()
    for word in _GLANCE.findall(sentence):
        keys.update(_pairs(word) if _WIDE.search(word) else (_key_at_a_glance(word),))
    return frozenset(keys) - {""}


def _pairs(text: str) -> Iterator[str]:
    """Two letters at a time: of what is written without blanks it is not known what a word is."""
    return (text[at : at + 2] for at in range(max(1, len(text) - 1)))


@lru_cache(maxsize=16_384)
def _key_at_a_glance(word: str) -> str:
    lower = word.lower().removesuffix("'s")
    if lower[0].isdigit() or lower in NUMBERS or lower in TENS:
        return _number(lower)
    if lower in EMPTY or lower in NEGATIONS:
        return ""
    return _key(lower)


def _tokens(sentence: str, names: frozenset[str]) -> Iterator[Token]:
    place = segment = 0
    is_first, tens, after_number = True, None, False
    found = [*_pieces(sentence), ("end", "")]
    for (kind, text), (_, following) in pairwise(found):
        if kind == "stop":
            segment += 1
            # After a colon or a full stop the next word is written large for that.
            is_first, after_number = is_first or text in ":.!?", False
            continue
        lower = text.lower().replace("\u2019", "'").removesuffix("'s").strip("'")
        segment += lower in JOINTS
        if kind == "number" or lower in NUMBERS or lower in TENS:
            key = _number(lower)
            if tens is not None and 0 < NUMBERS.get(lower, 0) < 10:
                key = str(tens + NUMBERS[lower])
            tens = TENS.get(lower)
            if tens is not None and 0 < NUMBERS.get(following.lower(), 0) < 10:
                continue
            yield Token(lower, key, "number", place, segment)
        elif kind == "wide":
            yield Token(lower, lower, "wide", place, segment)
        else:
            tens = None
            lower = UNITS.get(lower, lower) if after_number else lower
            yield Token(lower, _key(lower), _kind(text, lower, is_first, names), place, segment)
        place += 1
        is_first, after_number = False, kind == "number" or lower in NUMBERS


def _pieces(sentence: str) -> Iterator[tuple[str, str]]:
    for found in _TOKEN.finditer(sentence):
        kind, text = found.lastgroup or "", found[0]
        if kind in ("number", "suffix"):
            yield "number", found["number"]
        elif kind == "word" and _WIDE.search(text):
            yield from (("wide", pair) for pair in _pairs(text))
        elif kind == "sign":
            yield "word", UNITS[text]
        elif kind == "stop":
            yield "stop", text
        else:
            yield "word", text


def _kind(text: str, lower: str, is_first: bool, names: frozenset[str]) -> Kind:
    if lower in ORDINALS or any(char.isdigit() for char in text):
        return "name"
    if text[1:] != text[1:].lower() and lower not in EMPTY:
        return "name"
    if text[0].isupper() and lower not in EMPTY and (not is_first or lower in names):
        return "name"
    if lower in EMPTY or lower in NEGATIONS or lower.endswith("n't"):
        return "empty"
    key = _key(lower)
    return "generic" if key in _GENERIC_KEYS else "word"


def _number(text: str) -> str:
    """How all ways to write a number are written: `1,000` as `1000`, `1.50` and `1,5` as `1.5`."""
    if text in NUMBERS:
        return str(NUMBERS[text])
    if text in TENS:
        return str(TENS[text])
    plain = _THOUSANDS.sub("", text).replace(",", ".")
    if plain.count(".") > 1:
        return plain
    whole, _, part = plain.partition(".")
    part = part.rstrip("0")
    return (whole.lstrip("0") or "0") + (f".{part}" if part else "")


def _with_unit(token: Token, tokens: list[Token]) -> Token:
    """A number with what stands around it."""
    if token.kind != "number":
        return token
    at = token.place
    before, after = tokens[max(0, at - 3) : at], tokens[at + 1 : at + 2]
    unit = bound = counts = ""
    for other in after:
        name = UNITS.get(other.text, stem_of(other.text))
        unit = name if name in _UNIT_STEMS else ""
        is_year = not unit and len(token.text) == YEAR_CHARS
        if other.kind == "word" and other.segment == token.segment and not is_year:
            counts = other.key
    if not unit and before and before[-1].text in ("euro", "dollar", "pound"):
        unit = before[-1].text
    for other in before:
        bound = BOUNDS.get(other.text, bound)
    months = {other.text for other in (*before[-1:], *after)} & MONTHS
    return msgspec.structs.replace(
        token,
        unit=unit,
        bound=bound,
        counts=counts,
        rate=_rate(tokens[at + 1 : at + 4]),
        is_day=bool(months) and len(token.key) <= 2,
    )


def _rate(after: list[Token]) -> str:
    """By what a number is counted that these words follow."""
    for token, following in pairwise([*after, None]):
        assert token is not None
        if token.text in ("each", "apiece") and (following is None or following.kind == "empty"):
            return "each"
        if token.text in ("a", "an", "per", "each", "every"):
            return following.key if following is not None else ""
        if token.kind == "empty" or token.segment != after[0].segment:
            return ""
    return ""


def _negated(tokens: list[Token]) -> Iterator[tuple[int, frozenset[str]]]:
    for at, token in enumerate(tokens):
        following = tokens[at + 1].text if at + 1 < len(tokens) else ""
        is_exception = token.text in EXCEPTIONS and EXCEPTIONS[token.text] == following
        if token.text in NEGATIONS or token.text.endswith("n't") or is_exception:
            after = [other.key for other in tokens[at + 1 :] if other.kind != "empty"]
            before = [other.key for other in tokens[:at] if other.kind != "empty"]
            keys = after[:NEGATED_WORDS] or before[-NEGATED_WORDS:]
            yield token.segment, frozenset(keys)


@lru_cache(maxsize=16_384)
def _key(word: str) -> str:
    word = UNITS.get(word, word) if len(word) > 1 else word
    stem = stem_of(IRREGULAR.get(word, word))
    return _ALIKE.get(stem, stem)


def stem_of(word: str) -> str:
    """A word less its commonest endings, so that forms of one word are equal."""
    word = stem(word)
    for ending in _ENDINGS:
        base = word.removesuffix(ending)
        if base != word and len(base) >= _BASE_CHARS_MIN:
            return base
    return word


_ALIKE = {stem_of(word): min(group) for group in ALIKE for word in group}
_GENERIC_KEYS = frozenset(_ALIKE.get(stem, stem) for stem in map(stem_of, GENERIC))
_UNIT_STEMS = frozenset(map(stem_of, UNIT_NAMES)) | UNIT_NAMES
