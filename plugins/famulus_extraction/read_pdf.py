"""Reads PDF, page by page."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from famulus_extraction.unreadable import Unreadable, damaged_otherwise
from famulus_schemas.retrieval import Section

if TYPE_CHECKING:
    from pypdf import PdfReader

NO_TEXT = (
    "The PDF holds no text: its pages may be pictures, as scanners make them. "
    "Have their text recognised first (OCR)."
)


def sections(path: Path) -> Iterator[Section]:
    """A section a page; the heading is the nearest entry of the outline at or before it."""
    from pypdf import PdfReader

    with damaged_otherwise("a PDF"):
        reader = PdfReader(path)
        _unlock(reader)
        headings = _headings(reader)
    found, heading = False, None
    for number in range(1, _pages(reader) + 1):
        with damaged_otherwise("a PDF"):
            text = reader.pages[number - 1].extract_text()
        heading = headings.get(number, heading)
        if text.strip():
            found = True
            yield Section(text=text, page=number, heading=heading)
    if not found:
        raise Unreadable(NO_TEXT)


def _unlock(reader: PdfReader) -> None:
    """Many are encrypted with an empty password, so that only changing them takes one."""
    if not reader.is_encrypted:
        return
    from pypdf.errors import DependencyError

    locked = "The PDF is encrypted; save it without a password."
    try:
        opened = reader.decrypt("")
    except (DependencyError, NotImplementedError) as error:
        raise Unreadable(locked) from error
    if not opened:
        raise Unreadable(locked)


def _pages(reader: PdfReader) -> int:
    with damaged_otherwise("a PDF"):
        return len(reader.pages)


def _headings(reader: PdfReader) -> dict[int, str]:
    """The first entry of the outline for each page that has one."""
    headings: dict[int, str] = {}
    waiting: list[list[Any]] = [reader.outline]
    while waiting:
        for entry in waiting.pop():
            if isinstance(entry, list):
                waiting.append(entry)
                continue
            page = reader.get_destination_page_number(entry)
            if page is not None and entry.title:
                headings.setdefault(page + 1, str(entry.title))
    return headings
