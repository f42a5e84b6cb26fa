"""Reads Markdown, by its headings."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from famulus_extraction.encodings import read_as_text
from famulus_schemas.retrieval import Section

_HEADING = re.compile(r"^ {0,3}#{1,6}[ \t]+(\S.{0,500})$")
_FENCE = re.compile(r"^ {0,3}(`{3,}|~{3,})")


def sections(path: Path) -> Iterator[Section]:
    """The text as it is, cut before each heading; `#` in a block of code is none."""
    lines: list[str] = []
    heading: str | None = None
    fence = ""
    for line in read_as_text(path).replace("\r\n", "\n").splitlines(keepends=True):
        fence = _fence(line, fence)
        if not fence and (found := _HEADING.match(line)):
            if lines:
                yield Section(text="".join(lines), heading=heading)
            lines, heading = [], found[1].rstrip().rstrip("#").rstrip()
        lines.append(line)
    if lines:
        yield Section(text="".join(lines), heading=heading)


def _fence(line: str, fence: str) -> str:
    """The fence of the block of code that is open after this line."""
    found = _FENCE.match(line)
    if not found:
        return fence
    if not fence:
        return found[1]
    closes = found[1].startswith(fence) and not line.strip().strip(fence[0])
    return "" if closes else fence
