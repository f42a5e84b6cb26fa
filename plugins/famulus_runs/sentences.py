"""Where sentences end in a text that comes in pieces, as models write it: in Markdown.

No text is held back but blanks, until it is seen what follows them. How the text was cut makes no
difference.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import msgspec

SENTENCE_CHARS_MAX = 2_000
"""Longer ones are no sentences."""

_WIDE = "\u3002\uff01\uff1f"
"""Ends that no blank need follow."""
_CLOSERS = "\"'\u201d\u2019\u00bb)]*_\u300d\u300f\uff09"
_OWN = re.escape(_WIDE + _CLOSERS)
_TOKEN = re.compile(rf"\s+|[{_OWN}]+|[^\s{_OWN}]+")
_ABBREVIATION = re.compile(
    r"(?:^|[\s(\"'\u201c])(?:[^\W\d_]|[^\W\d_](?:\.[^\W\d_])+|etc|vs|cf|approx|ca|nos?|figs?|sec|"
    r"ch|vol|eds?|pp|art|al|mrs?|ms|dr|prof|st|jr|sr|inc|ltd|co|corp|dept|est|max|min|jan|feb|mar|"
    r"apr|jun|jul|aug|sept?|oct|nov|dec|bzw|usw|nr|str)\.\Z",
    re.IGNORECASE,
)
_ABBREVIATION_CHARS = 16
_ORDINAL = re.compile(r"(?:[-*+]\s+)?[(\[]?\w{1,3}[.)\]]\Z")
_FENCES = ("```", "~~~")
_NO_PROSE = ("#", "|", "```", "~~~", "$$", "<")


class Segment(msgspec.Struct, frozen=True):
    """Some text, and whether a sentence ends right behind it."""

    text: str
    is_end: bool = False
    sentence: str = ""
    """The sentence that ends; empty where it is a heading, a row of a table, or code."""


class Sentences:
    """Reads a text on, and says where its sentences end."""

    def __init__(self) -> None:
        self._sentence = ""
        """What was read of it, less the blanks that may follow it."""
        self._blanks = ""
        """Those: what comes after them shows whether it has ended."""
        self._held = ""
        """The part of them that is held back."""
        self._line = ""
        """With what the line begins."""
        self._first_line = ""
        """With what the line begins in which the sentence does, if that is another one."""
        self.is_in_code = False
        """Whether that is a block of code."""

    def feed(self, text: str) -> Iterator[Segment]:
        """The text, cut where sentences end."""
        for token in _TOKEN.findall(text):
            yield from self._take_blanks(token) if token.isspace() else self._take_word(token)

    def interrupted(self) -> Segment:
        """What is held back, to go before what is no text; a sentence may end behind that."""
        held, self._held = self._held, ""
        return Segment(held)

    def end(self, *, is_whole: bool) -> Iterator[Segment]:
        """The end of the text; where it is cut off, of its last sentence only if that is whole."""
        if is_whole or _has_ended(self._sentence):
            yield self._ended()
        yield Segment(self._held)
        self._sentence = self._blanks = self._held = self._line = self._first_line = ""
        self.is_in_code = False

    def _take_blanks(self, blanks: str) -> Iterator[Segment]:
        if "\n" in blanks:
            if self._line.startswith(_FENCES):
                self.is_in_code = not self.is_in_code
                self._sentence = ""
            self._first_line = self._first_line or self._line
            self._line = ""
        if self._sentence and not self.is_in_code:
            self._blanks += blanks
            self._held += blanks
        else:
            yield Segment(blanks)

    def _take_word(self, word: str) -> Iterator[Segment]:
        if len(self._line) < len(_FENCES[0]):
            self._line += word
        if self.is_in_code:
            yield Segment(word)
            return
        if self._is_end_before(word):
            yield self._ended()
        elif self._sentence:
            self._grow(self._blanks)
        else:
            self._first_line = ""
        if self._held:
            yield Segment(self._held)
        self._blanks = self._held = ""
        self._grow(word)
        yield Segment(word)

    def _grow(self, text: str) -> None:
        self._sentence = (self._sentence + text)[: SENTENCE_CHARS_MAX + 1]

    def _is_end_before(self, word: str) -> bool:
        if not self._blanks:
            return _has_ended(self._sentence, ends=_WIDE) and word[0] not in _CLOSERS + _WIDE
        lines = self._blanks.count("\n")
        if lines > 1:
            return True
        if word[0].islower():
            # A line that goes on, or what only looked like an end.
            return False
        if lines == 1:
            return True
        return self._sentence.count("`") % 2 == 0 and _has_ended(self._sentence)

    def _ended(self) -> Segment:
        line = self._first_line or self._line
        sentence, self._sentence, self._first_line = self._sentence.strip(), "", ""
        is_prose = len(sentence) <= SENTENCE_CHARS_MAX and not line.startswith(_NO_PROSE)
        return Segment("", True, sentence if is_prose and not self.is_in_code else "")


def _has_ended(sentence: str, ends: str = f"!?\u2026{_WIDE}") -> bool:
    bare = sentence.rstrip(_CLOSERS)
    if bare and bare[-1] in ends:
        return True
    if not bare.endswith(".") or "!" not in ends:
        return False
    if bare != sentence:
        return True
    return not _ABBREVIATION.search(bare[-_ABBREVIATION_CHARS:]) and not _ORDINAL.match(sentence)
