"""Marks in a model's text: found while it streams, and made annotations.

Text is held back only while it may still become a mark that a tool of the run gave, or a longer
one. What turns out to be none goes on unchanged. Models write marks from memory: where it is clear
which one is meant, that one is taken.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from difflib import SequenceMatcher

import msgspec

from famulus_schemas.deltas import (
    AnnotationDelta,
    FileCitationDelta,
    FileCitationDeltaAnnotation,
    FilePathDelta,
    FilePathDeltaAnnotation,
)
from famulus_schemas.messages import (
    Annotation,
    FileCitation,
    FileCitationAnnotation,
    FilePath,
    FilePathAnnotation,
)
from famulus_schemas.tooling import Mark

VARIANT_CHARS_MAX = 256
"""Longer ones are no marks."""

ALIKE_RATIO = 0.8
"""From there on, two names are one that is misspelt."""

_FILE_NAME = re.compile(r"\.\w{1,5}(?!\w)")
_NO_NAME = re.compile(r"[\W_]+")
_WORD_GOES_ON = re.compile(r"[\w/-]|\.\w")
_SHORT = re.compile(r"\s?([^\s\u2020\[\]\u3010\u3011]*)\s?")
_BRACKET = re.compile(r"[\[\]\u3010\u3011\n]")
_DAGGER, _OPEN, _CLOSE = "\u2020", "\u3010", "\u3011"


class Piece(msgspec.Struct, frozen=True):
    """Some text, and the mark with which it ends."""

    text: str
    mark: Mark | None = None
    written: str = ""
    """How the model wrote the mark."""


class MarkScan:
    """Finds marks in a text that comes in pieces; with `is_strict` only as the tools gave them."""

    def __init__(self, marks: Sequence[Mark], *, is_strict: bool = False) -> None:
        by_first: dict[str, dict[str, Mark]] = {}
        for mark in marks:
            if mark.text:
                by_first.setdefault(mark.text[0], {})[mark.text] = mark
        self._by_short = {} if is_strict else {mark.short: mark for mark in marks if mark.short}
        self._shorts_begun = {
            short[:size] for short in self._by_short for size in range(len(short) + 1)
        }
        if self._by_short:
            for first in (_OPEN, "["):
                by_first.setdefault(first, {})
        self._by_first = {
            first: sorted(found.values(), key=lambda mark: len(mark.text), reverse=True)
            for first, found in by_first.items()
        }
        firsts = "".join(map(re.escape, by_first))
        self._first = re.compile(f"[{firsts}]") if by_first else None
        self._held = ""

    def feed(self, text: str) -> list[Piece]:
        """What is certain now; only the last piece has no mark, and only it may be empty."""
        return self._pieces(text, is_end=False)

    def end(self) -> list[Piece]:
        """What was held back, at the end of the text."""
        return self._pieces("", is_end=True)

    def _pieces(self, text: str, *, is_end: bool) -> list[Piece]:
        if self._first is None:
            return [Piece(text)]
        text = self._held + text
        pieces: list[Piece] = []
        begin = at = 0
        while (found := self._first.search(text, at)) is not None:
            at = found.start()
            mark, size, is_certain = self._mark_at(text, at, is_end=is_end)
            if not is_certain:
                break
            if mark is None:
                at += 1
                continue
            pieces.append(Piece(text[begin:at], mark, text[at : at + size]))
            at += size
            begin = at
        else:
            at = len(text)
        self._held = text[at:]
        return [*pieces, Piece(text[begin:at])]

    def _mark_at(self, text: str, at: int, *, is_end: bool) -> tuple[Mark | None, int, bool]:
        """The longest mark that stands there, its size, and whether that is certain."""
        for mark in self._by_first[text[at]]:
            end = at + len(mark.text)
            if text.startswith(mark.text, at):
                if not _ends_as_word(mark):
                    return mark, len(mark.text), True
                if not is_end and text[end:] in ("", "."):
                    return None, 0, False
                if not _WORD_GOES_ON.match(text, end):
                    return mark, len(mark.text), True
            elif not is_end and mark.text.startswith(text[at:]):
                return None, 0, False
        if self._by_short and text[at] in (_OPEN, "["):
            return self._variant_at(text, at, is_end=is_end)
        return None, 0, True

    def _variant_at(self, text: str, at: int, *, is_end: bool) -> tuple[Mark | None, int, bool]:
        """The same of a mark that is written otherwise."""
        found = _SHORT.match(text, at + 1)
        assert found is not None
        short, end = found[1], found.end()
        if end == len(text) and not is_end:
            return None, 0, short not in self._shorts_begun
        mark = self._by_short.get(short)
        if mark is None:
            return None, 0, True
        if text[end : end + 1] == _DAGGER:
            bracket = _BRACKET.search(text, end, at + VARIANT_CHARS_MAX)
            if bracket is None:
                return None, 0, is_end or len(text) >= at + VARIANT_CHARS_MAX
            name = text[end + 1 : bracket.start()]
            is_meant = bracket[0] in ("]", _CLOSE) and not _is_of_another(name, mark)
            return (mark, bracket.end() - at, True) if is_meant else (None, 0, True)
        # In plain brackets two numbers may be anything.
        if text[at] == _OPEN and text[end : end + 1] in ("]", _CLOSE):
            return mark, end + 1 - at, True
        return None, 0, True


def _is_of_another(name: str, mark: Mark) -> bool:
    """Whether a mark that is written with this name means another file's.

    Earlier runs numbered theirs alike, and the model may have read those.
    """
    if not _FILE_NAME.search(name):
        return False
    ours, theirs = (
        _NO_NAME.sub("", one).casefold() for one in (mark.text.partition(_DAGGER)[2], name)
    )
    if ours in theirs or theirs in ours:
        return False
    return SequenceMatcher(None, ours, theirs).ratio() < ALIKE_RATIO


def _ends_as_word(mark: Mark) -> bool:
    """Whether it would go on as another word: `plot.png` is not meant by `plot.pngs`."""
    return mark.text[-1].isalnum() or mark.text[-1] == "_"


def annotation_of(mark: Mark, start: int) -> Annotation:
    """What a message has for a mark that is shown from there on."""
    text = mark.shown or mark.text
    end = start + len(text)
    if mark.type == "file_citation":
        citation = FileCitation(file_id=mark.file_id)
        return FileCitationAnnotation(
            text=text, file_citation=citation, start_index=start, end_index=end
        )
    path = FilePath(file_id=mark.file_id)
    return FilePathAnnotation(text=text, file_path=path, start_index=start, end_index=end)


def annotation_delta(annotation: Annotation, index: int) -> AnnotationDelta:
    """A message's annotation, as it is told."""
    if isinstance(annotation, FileCitationAnnotation):
        return FileCitationDeltaAnnotation(
            index=index,
            text=annotation.text,
            file_citation=FileCitationDelta(file_id=annotation.file_citation.file_id),
            start_index=annotation.start_index,
            end_index=annotation.end_index,
        )
    return FilePathDeltaAnnotation(
        index=index,
        text=annotation.text,
        file_path=FilePathDelta(file_id=annotation.file_path.file_id),
        start_index=annotation.start_index,
        end_index=annotation.end_index,
    )
