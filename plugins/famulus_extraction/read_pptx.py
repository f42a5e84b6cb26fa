"""Reads PowerPoint's presentations, slide by slide."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from famulus_extraction.archives import check_office
from famulus_extraction.unreadable import damaged_otherwise
from famulus_schemas.retrieval import Section

WHAT = "a PowerPoint presentation"
GROUPS_DEEP_MAX = 32


def sections(path: Path) -> Iterator[Section]:
    """A section a slide, which counts as a page: its shapes' texts, tables and notes."""
    from pptx import Presentation

    check_office(path, holds="ppt/presentation.xml", what=WHAT)
    with damaged_otherwise(WHAT):
        for number, slide in enumerate(Presentation(str(path)).slides, 1):
            texts = list(_texts(slide.shapes))
            if slide.has_notes_slide and slide.notes_slide.notes_text_frame is not None:
                texts.append(slide.notes_slide.notes_text_frame.text)
            title = slide.shapes.title.text_frame.text if slide.shapes.title is not None else None
            text = "\n\n".join(text for text in texts if text.strip())
            if text:
                yield Section(text=text, page=number, heading=title)


def _texts(shapes: Iterable[Any], deep: int = 0) -> Iterator[str]:
    for shape in shapes:
        if shape.has_text_frame:
            yield shape.text_frame.text
        elif getattr(shape, "has_table", False):
            rows = ("\t".join(cell.text for cell in row.cells) for row in shape.table.rows)
            yield "\n".join(rows)
        elif hasattr(shape, "shapes") and deep < GROUPS_DEEP_MAX:
            yield from _texts(shape.shapes, deep + 1)
