"""What chunks are made of: pieces of a text that are not cut, each with how good its end is."""

from __future__ import annotations

import re
import unicodedata
from array import array
from collections.abc import Iterable, Iterator
from enum import IntEnum

from famulus_extraction.tokens import count

CHARACTERS_PER_TOKEN = 8
"""A piece that is longer than this for each token it may have is cut without being counted."""
EXTENSION_MAX = 32
"""How far a cut is put off because of marks that belong to the character before them."""

# All repetitions have an end: a text that is one long line, or nothing but dots, takes time that
# grows with its length and not with its square.
_LINE = re.compile(r"[^\n]*\n{1,64}|[^\n]+")
_SENTENCE_END = re.compile(r"[.!?…]{1,8}[\"'”’)\]]{0,4}\s{1,64}|[。！？；]{1,8}[”’」』）]{0,4}")
_PHRASE = re.compile(r"(?:\S+\s{0,64}){1,6}|\s{1,64}")
_WORD = re.compile(r"\S+\s{0,64}|\s{1,64}")
_RUN = re.compile(r"(?s:.{0,63}[,;})\]>|，、]|.{1,64})")
_ZERO_WIDTH_JOINER = "\u200d"


class End(IntEnum):
    """Where a piece ends; the higher, the better a place for a chunk to end."""

    NOWHERE = 0
    SIGN = 1
    WORD = 2
    SENTENCE = 3
    LINE = 4
    PARAGRAPH = 5
    SECTION = 6


class Atoms:
    """A text's pieces in order, without a gap."""

    def __init__(self, text: str, most: int) -> None:
        self.ends = array("q", [0])
        """Where the first n pieces end; so the first is 0."""
        self.tokens = array("q", [0])
        """How many tokens the first n pieces are."""
        self.ranks = bytearray([End.SECTION])
        """How good a place to cut that is."""
        self._text = text
        self._most = most
        self._characters = most * CHARACTERS_PER_TOKEN

    def __len__(self) -> int:
        return len(self.ends) - 1

    def add_section(self, start: int, end: int) -> None:
        """Cut up the section of the text from `start` to `end`."""
        for line in _LINE.finditer(self._text, start, end):
            is_last = line.end() == end
            blank = self._text.endswith("\n\n", line.start(), line.end())
            rank = End.SECTION if is_last else End.PARAGRAPH if blank else End.LINE
            self._add(line.start(), line.end(), rank, level=0)

    def _add(self, start: int, end: int, rank: End, *, level: int) -> None:
        if end - start <= self._characters:
            tokens = count(self._text[start:end])
            if tokens <= self._most or end - start == 1:
                self.ends.append(end)
                self.tokens.append(self.tokens[-1] + tokens)
                self.ranks.append(rank)
                return
        ways = (self._sentences, self._phrases, self._words, self._runs, self._halves)
        for piece_start, piece_end, piece_rank in ways[level](start, end):
            last = rank if piece_end == end else piece_rank
            self._add(piece_start, piece_end, last, level=min(level + 1, len(ways) - 1))

    def _sentences(self, start: int, end: int) -> Iterator[tuple[int, int, End]]:
        for stop in _SENTENCE_END.finditer(self._text, start, end):
            if stop.end() < end:
                yield start, stop.end(), End.SENTENCE
                start = stop.end()
        yield start, end, End.SENTENCE

    def _phrases(self, start: int, end: int) -> Iterator[tuple[int, int, End]]:
        # Several words at once, since to look at each takes its time in a line without end.
        for words in _PHRASE.finditer(self._text, start, end):
            yield words.start(), words.end(), End.WORD

    def _words(self, start: int, end: int) -> Iterator[tuple[int, int, End]]:
        for word in _WORD.finditer(self._text, start, end):
            yield word.start(), word.end(), End.WORD

    def _runs(self, start: int, end: int) -> Iterator[tuple[int, int, End]]:
        while start < end:
            found = _RUN.match(self._text, start, end)
            assert found is not None
            stop = _past_marks(self._text, found.end(), end)
            is_sign = self._text[stop - 1] in ",;})]>|，、"
            yield start, stop, End.SIGN if is_sign else End.NOWHERE
            start = stop

    def _halves(self, start: int, end: int) -> Iterable[tuple[int, int, End]]:
        middle = _past_marks(self._text, (start + end) // 2, end)
        if middle in (start, end):
            middle = (start + end) // 2
        return (start, middle, End.NOWHERE), (middle, end, End.NOWHERE)


def _past_marks(text: str, at: int, end: int) -> int:
    """The first place from `at` that does not tear a character from its marks."""
    stop = min(end, at + EXTENSION_MAX)
    while at < stop and _belongs_together(text[at - 1], text[at]):
        at += 1
    return at


def _belongs_together(before: str, after: str) -> bool:
    if before.isascii() and after.isascii():
        return False
    is_mark = unicodedata.category(after) in ("Mn", "Me", "Mc")
    is_tone = "\U0001f3fb" <= after <= "\U0001f3ff"
    is_flag = all("\U0001f1e6" <= each <= "\U0001f1ff" for each in (before, after))
    return is_mark or is_tone or is_flag or _ZERO_WIDTH_JOINER in (before, after)
