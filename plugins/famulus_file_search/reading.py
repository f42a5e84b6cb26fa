"""Sentences of passages, and parts of sentences."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

PASSAGE_SENTENCES_MAX = 400
SENTENCE_CHARS_MAX = 800
"""What is longer is no sentence but a table, code or nonsense, and is read in parts: to compare two
sentences takes far longer the longer they are."""

_HEADING = re.compile(r"\s*#{1,6}\s")
_HEADING_LINE = re.compile(r"^([ \t]*#{1,6}[ \t].*)$", re.MULTILINE)
_BREAK = re.compile(
    r"(?<=[.!?\u2026\u3002\uff01\uff1f])[\"'\u201d\u2019)\]*_]*\s+|(?<=[\u3002\uff01\uff1f])|\n\s*\n"
    r"|\n(?=\s*(?:[-*+|#>]|\d+[.)]\s))"
)
_ABBREVIATED = re.compile(
    r"\b(?:[^\W\d_]|mrs?|ms|dr|prof|st|nos?|nr|approx|ca|vs|fig|e\.g|i\.e|z\.b|d\.h)\.\Z",
    re.IGNORECASE,
)
_CONTRAST = re.compile(r";\s+|,?\s+(?:but|while|whereas|although|aber|mais|pero)\s+")
_PARTS = re.compile(r";\s+|,?\s+(?:and|but|while|whereas)\s+|,\s+(?=which\b|with\b)")
_MARK = re.compile("\u3010[^\u3011]*\u3011")
_QUESTION = re.compile(r"[?\uff1f][\"'\u201d)*_]*\Z")
_TO_THE_USER = re.compile(
    r"(?:[-*>]\s*)?(?:i|i'm|sorry|unfortunately|let me|please|hello|hi|thanks?|sure|of course|"
    r"here (?:is|are)|feel free|let us|let's|ich|leider|bitte)\b",
    re.IGNORECASE,
)
_NOT_FOUND = re.compile(
    r"\b(?:(?:could|can|did|do|does|was|were|is|are)(?:\s*not|n't)|cannot|unable to|no)\s+"
    r"(?:\w+\s+)?(?:find|found|locate|mention(?:ed)?|stated?|say|specif(?:y|ied)|provided?|contain|"
    r"information|details?|mentions?|answer)\b",
    re.IGNORECASE,
)


def without_marks(sentence: str) -> str:
    """The sentence less what looks like a mark and is none, or is another tool's, and long gaps."""
    return " ".join(_MARK.sub(" ", sentence).split())


def is_assertion(sentence: str) -> bool:
    """Whether it says something of the world, and not of the conversation or the search."""
    text = sentence.strip()
    if _QUESTION.search(text) or _NOT_FOUND.search(text):
        return False
    return not _TO_THE_USER.match(text.lstrip("*_\"'\u201c "))


def sentences_in(passage: str) -> Iterator[tuple[bool, str]]:
    """The first sentences of a passage, and whether each is a heading."""
    for sentence in islice(_joined(_pieces_of(passage)), PASSAGE_SENTENCES_MAX):
        yield bool(_HEADING.match(sentence)), sentence


def _pieces_of(passage: str) -> Iterator[str]:
    for text in _BREAK.split(_HEADING_LINE.sub(r"\1\n", passage), PASSAGE_SENTENCES_MAX):
        if len(text) <= SENTENCE_CHARS_MAX:
            yield text
            continue
        for line in text.splitlines():
            for at in range(0, len(line), SENTENCE_CHARS_MAX):
                yield line[at : at + SENTENCE_CHARS_MAX]


def _joined(pieces: Iterable[str]) -> Iterator[str]:
    """Sentences, of which an abbreviation is not the end."""
    begun = ""
    for text in pieces:
        begun = f"{begun} {text.strip()}".strip()
        if begun and not (len(begun) < SENTENCE_CHARS_MAX and _ABBREVIATED.search(begun)):
            yield begun
            begun = ""
    if begun:
        yield begun


def contrasted(sentence: str) -> Sequence[str]:
    """What a sentence says of different things, with words such as `but` in between."""
    return [part for part in _CONTRAST.split(sentence) if part.strip()]


def parts_of(sentence: str) -> Sequence[str]:
    """The facts that a sentence joins."""
    return [part for part in _PARTS.split(sentence) if part.strip()]
