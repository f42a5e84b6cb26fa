"""Marks that the server puts behind sentences to which the model put none."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence

from famulus_runs.marks import Piece
from famulus_runs.sentences import Segment, Sentences
from famulus_schemas.tooling import Mark

Cite = Callable[[str], Sequence[Mark]]

_JSON = re.compile(r"\s*(?:\{|\[\s*[\[{\"\d\]-])")


class Citing:
    """Cites the sentences of one text, in which the model's own marks are found already."""

    def __init__(self, cite: Cite | None) -> None:
        self._cite = cite
        self._sentences = Sentences()
        self._is_cited = False
        """Whether the model did, in the sentence that is being read."""
        self._begun = ""
        """The beginning of the text, as long as it is not known what it is."""
        self._is_json: bool | None = None

    def feed(self, pieces: Sequence[Piece]) -> Sequence[Piece]:
        """The pieces, and in between what is cited; again only the last one has no mark."""
        if self._cite is None:
            return pieces
        return _joined(told for piece in pieces for told in self._of(piece))

    def end(self, *, is_whole: bool = True) -> Sequence[Piece]:
        """What is left at the end of a text, which may be cut off."""
        if self._cite is None:
            return []
        told = _joined(self._told(self._sentences.end(is_whole=is_whole)))
        self._is_cited, self._begun, self._is_json = False, "", None
        return told

    def _of(self, piece: Piece) -> Iterator[Piece]:
        if self._is_data(piece.text):
            yield from self._told(self._sentences.end(is_whole=False))
            yield Piece(piece.text)
        else:
            yield from self._told(self._sentences.feed(piece.text))
        mark = piece.mark
        if mark is None:
            return
        yield Piece(self._sentences.interrupted().text)
        if piece.written != mark.text and (self._is_json or self._sentences.is_in_code):
            yield Piece(piece.written)
            return
        self._is_cited = self._is_cited or mark.type == "file_citation"
        yield Piece("", mark, piece.written)

    def _is_data(self, text: str) -> bool:
        """Whether the text is JSON, whoever asked for that."""
        if self._is_json is None:
            self._begun += text
            if _JSON.match(self._begun):
                self._is_json = True
            elif len("".join(self._begun.split())) > 1:
                self._is_json = False
        return bool(self._is_json)

    def _told(self, segments: Iterable[Segment]) -> Iterator[Piece]:
        assert self._cite is not None
        for segment in segments:
            yield Piece(segment.text)
            if not segment.is_end:
                continue
            if segment.sentence and not self._is_cited:
                yield from (Piece("", mark, mark.text) for mark in self._cite(segment.sentence))
            self._is_cited = False


def _joined(pieces: Iterable[Piece]) -> list[Piece]:
    """The same pieces, neighbouring texts as one."""
    joined: list[Piece] = []
    text = ""
    for piece in pieces:
        text += piece.text
        if piece.mark is not None:
            joined.append(Piece(text, piece.mark, piece.written))
            text = ""
    return [*joined, Piece(text)] if text else joined
