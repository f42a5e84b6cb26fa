"""A file's text as it is cut up: cleaned, in sections, with their joined text."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

import msgspec

from famulus_extraction.unreadable import Unreadable
from famulus_schemas.retrieval import Section

HEADING_CHARACTERS_MAX = 200
_NOT_STORABLE = re.compile("[\x00\ud800-\udfff]")
_LINE_END = re.compile(r"\r\n?")
MB = 1_048_576


def document(sections: Iterable[Section], text_bytes_max: int) -> list[Section]:
    """The sections to be cut up: their texts, joined as they are, are the document's text.

    A section that does not end a line is set off by an empty one. What no database takes is
    replaced. Raises Unreadable for more text than may be, and for none.
    """
    kept = list(_limited(map(_clean, sections), text_bytes_max))
    if not any(section.text.strip() for section in kept):
        raise Unreadable("The file holds no text.")
    return kept


def _clean(section: Section) -> Section:
    text = section.text
    if "\r" in text:
        text = _LINE_END.sub("\n", text)
    text = _NOT_STORABLE.sub("\ufffd", text)
    if not text.endswith("\n"):
        text += "\n\n"
    heading = section.heading
    if heading is not None:
        heading = _NOT_STORABLE.sub("\ufffd", heading).strip()[:HEADING_CHARACTERS_MAX] or None
    page = section.page if section.page is None or section.page >= 1 else None
    return msgspec.structs.replace(section, text=text, page=page, heading=heading)


def _limited(sections: Iterable[Section], text_bytes_max: int) -> Iterator[Section]:
    size = 0
    for section in sections:
        text = section.text
        size += len(text) if text.isascii() else len(text.encode())
        if size > text_bytes_max:
            raise Unreadable(
                f"The file holds more than {text_bytes_max / MB:.3g} MB of text; split it."
            )
        yield section
