"""Marks in a model's text: found while it streams, and made annotations.

Text is held back only while it may still become a mark that a tool of the run gave, or a longer
one. What turns out to be none goes on unchanged.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

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

_WORD_GOES_ON = re.compile(r"[\w/-]|\.\w")


class Piece(msgspec.Struct, frozen=True):
    """Some text, and the mark with which it ends."""

    text: str
    mark: Mark | None = None


class MarkScan:
    """Finds marks in a text that comes in pieces."""

    def __init__(self, marks: Sequence[Mark]) -> None:
        by_first: dict[str, dict[str, Mark]] = {}
        for mark in marks:
            if mark.text:
                by_first.setdefault(mark.text[0], {})[mark.text] = mark
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
            mark, is_certain = self._mark_at(text, at, is_end=is_end)
            if not is_certain:
                break
            if mark is None:
                at += 1
                continue
            pieces.append(Piece(text[begin:at], mark))
            at += len(mark.text)
            begin = at
        else:
            at = len(text)
        self._held = text[at:]
        return [*pieces, Piece(text[begin:at])]

    def _mark_at(self, text: str, at: int, *, is_end: bool) -> tuple[Mark | None, bool]:
        """The longest mark that stands there, and whether that is certain."""
        for mark in self._by_first[text[at]]:
            end = at + len(mark.text)
            if text.startswith(mark.text, at):
                if not _ends_as_word(mark):
                    return mark, True
                if not is_end and text[end:] in ("", "."):
                    return None, False
                if not _WORD_GOES_ON.match(text, end):
                    return mark, True
            elif not is_end and mark.text.startswith(text[at:]):
                return None, False
        return None, True


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
