"""Reads Word's documents, by their headings."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from famulus_extraction.archives import check_office
from famulus_extraction.unreadable import damaged_otherwise
from famulus_schemas.retrieval import Section

if TYPE_CHECKING:
    from docx.table import Table

WHAT = "a Word document"
TABLES_DEEP_MAX = 8


def sections(path: Path) -> Iterator[Section]:
    """The text of each heading and what is under it; tables row by row, cells by tabs."""
    from docx import Document
    from docx.table import Table

    check_office(path, holds="word/document.xml", what=WHAT)
    with damaged_otherwise(WHAT):
        document = Document(str(path))
        heading: str | None = None
        lines: list[str] = []
        for block in document.iter_inner_content():
            if isinstance(block, Table):
                lines.extend(_rows(block))
                continue
            name = (block.style.name or "") if block.style is not None else ""
            if name.startswith(("Heading", "Title")) and block.text.strip():
                if lines:
                    yield Section(text="\n\n".join(lines), heading=heading)
                heading, lines = block.text, []
            if block.text.strip():
                lines.append(block.text)
        if lines:
            yield Section(text="\n\n".join(lines), heading=heading)


def _rows(table: Table, deep: int = 0) -> Iterator[str]:
    rows = []
    for row in table.rows:
        cells = dict.fromkeys(row.cells)  # A merged cell is in several places.
        rows.append("\t".join(" ".join(cell.text.split()) for cell in cells))
        if deep < TABLES_DEEP_MAX:
            for cell in cells:
                for inner in cell.tables:
                    rows.extend(_rows(inner, deep + 1))
    yield "\n".join(rows)
