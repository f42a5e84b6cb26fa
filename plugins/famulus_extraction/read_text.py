"""Reads plain text and source code."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from famulus_extraction.encodings import read_as_text
from famulus_schemas.retrieval import Section


def sections(path: Path) -> Iterator[Section]:
    """The text, as it is."""
    yield Section(text=read_as_text(path))
