"""Reads tables that are text."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from famulus_extraction.encodings import read_as_text
from famulus_schemas.retrieval import Section

HEADER_CHARACTERS_MAX = 200


def sections(path: Path) -> Iterator[Section]:
    """The text as it is, under its first line: a row says little without the columns' names."""
    text = read_as_text(path)
    header, _, _ = text[: HEADER_CHARACTERS_MAX + 1].partition("\n")
    is_short = len(header) <= HEADER_CHARACTERS_MAX
    yield Section(text=text, heading=header.strip() if is_short else None)
