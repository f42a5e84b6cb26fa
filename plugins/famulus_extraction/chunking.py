"""The chunker `auto`: windows of a text that end, and begin, where the text lets them."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence

from famulus_extraction.atoms import Atoms
from famulus_schemas.retrieval import Chunk, Chunking, Section

PIECES = 16
"""How finely a chunk's end can be chosen: a piece is at most this part of a chunk."""


def chunks(sections: Sequence[Section], chunking: Chunking) -> Iterator[Chunk]:
    """Windows of at most `max_tokens`, each with up to `overlap_tokens` of the one before.

    A window ends at the best place (a section's end, a paragraph's, a line's, a sentence's, a
    word's) of the last quarter of what is new in it.
    """
    text = "".join(section.text for section in sections)
    atoms = Atoms(text, max(1, chunking.max_tokens // PIECES))
    places = _Places(sections)
    covered = 0
    for section in sections:
        atoms.add_section(covered, covered + len(section.text))
        covered += len(section.text)
    covered = 0
    for first, last in _windows(atoms, chunking):
        start, end = _trimmed(text, atoms.ends[first], atoms.ends[last])
        if end <= covered:
            # Nothing but blanks is new in it.
            continue
        covered = end
        section = places.at(start)
        yield Chunk(
            text=text[start:end],
            tokens=atoms.tokens[last] - atoms.tokens[first],
            start=start,
            end=end,
            page=section.page,
            heading=section.heading,
        )


def _windows(atoms: Atoms, chunking: Chunking) -> Iterator[tuple[int, int]]:
    most = max(1, chunking.max_tokens)
    # Half of a chunk at most is old, as OpenAI has it: else there is no end to them.
    overlap = min(max(0, chunking.overlap_tokens), most // 2)
    least = overlap + (most - overlap) * 3 // 4
    tokens, first = atoms.tokens, 0
    while first < len(atoms):
        last = max(first + 1, bisect_right(tokens, tokens[first] + most) - 1)
        if last < len(atoms):
            earliest = max(first + 1, bisect_left(tokens, tokens[first] + least))
            last = max(range(min(earliest, last), last + 1), key=lambda at: (atoms.ranks[at], at))
        yield first, last
        if last == len(atoms):
            return
        first = max(first + 1, _next_first(atoms, last, overlap))


def _next_first(atoms: Atoms, last: int, overlap: int) -> int:
    if not overlap:
        return last
    earliest = bisect_left(atoms.tokens, atoms.tokens[last] - overlap)
    latest = bisect_right(atoms.tokens, atoms.tokens[last] - overlap * 3 // 4) - 1
    return max(
        range(earliest, max(earliest, min(latest, last)) + 1),
        key=lambda at: (atoms.ranks[at], -at),
    )


def _trimmed(text: str, start: int, end: int) -> tuple[int, int]:
    """Without the blanks around it; but the blanks that indent the first line stay."""
    window = text[start:end]
    end = start + len(window.rstrip())
    first = start + len(window) - len(window.lstrip())
    line = text.rfind("\n", max(0, start - 1), first) + 1
    return min(end, line if line or not start else first), end


class _Places:
    """Which section a place is in, asked in order."""

    def __init__(self, sections: Sequence[Section]) -> None:
        self._sections = [section for section in sections if section.text]
        self._starts: list[int] = []
        at = 0
        for section in self._sections:
            self._starts.append(at)
            at += len(section.text)

    def at(self, place: int) -> Section:
        return self._sections[bisect_right(self._starts, place) - 1]
