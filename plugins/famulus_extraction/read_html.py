"""Reads HTML: what a person would see of it, by its headings."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

from famulus_extraction.encodings import read_as_text
from famulus_schemas.retrieval import Section

HEADINGS = frozenset({"h1", "h2", "h3", "h4", "h5", "h6"})
UNSEEN = frozenset({"head", "script", "style", "template", "noscript", "svg", "math", "iframe"})
PARAGRAPHS = HEADINGS | {
    *("p", "div", "section", "article", "main", "header", "footer", "nav", "aside", "body"),
    *("ul", "ol", "dl", "table", "blockquote", "pre", "figure", "form", "fieldset", "hr"),
}
LINES = frozenset({"li", "tr", "dt", "dd", "option", "caption", "figcaption", "legend"})
CELLS = frozenset({"td", "th"})
_BLANKS = re.compile(r"[ \t\n\f]+")
_MANY_LINES = re.compile(r"\n{3,}")


def sections(path: Path) -> Iterator[Section]:
    """The text of each heading and what is under it; the title stands above all of it."""
    page = _Page()
    page.feed(read_as_text(path))
    page.close()
    page.end_section()
    yield from page.sections


class _Page(HTMLParser):
    """Gathers text; what is opened and never closed, or the other way round, does no harm."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.sections: list[Section] = []
        self._heading: str | None = None
        self._parts: list[str] = []
        self._unseen = 0
        self._unseen_tag = ""
        self._in_title = False
        self._preformatted = 0
        self._heading_from: int | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "title":
            self._in_title = True
        elif self._unseen:
            self._unseen += tag == self._unseen_tag
        elif tag in UNSEEN:
            self._unseen, self._unseen_tag = 1, tag
        elif tag == "body":
            self._unseen = 0
        else:
            self._open(tag)

    def _open(self, tag: str) -> None:
        if tag in HEADINGS:
            self.end_section()
            self._heading_from = len(self._parts)
        elif tag in PARAGRAPHS:
            self._end_line("\n\n")
        elif tag == "br":
            self._end_line("\n")
        elif tag in LINES:
            self._begin_line()
        if tag == "pre":
            self._preformatted += 1

    def handle_endtag(self, tag: str) -> None:
        if tag == "title":
            self._in_title = False
        elif self._unseen:
            self._unseen -= tag == self._unseen_tag
        elif tag in HEADINGS:
            self._end_heading()
            self._end_line("\n\n")
        elif tag in PARAGRAPHS:
            self._end_line("\n\n")
        elif tag in CELLS:
            self._parts.append("\t")
        elif tag in LINES:
            self._begin_line()
        if tag == "pre" and self._preformatted:
            self._preformatted -= 1

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if not self._unseen and tag not in UNSEEN:
            self._open(tag)
            self._preformatted -= tag == "pre"

    def handle_data(self, data: str) -> None:
        if self._in_title:
            self._heading = self._heading or data.strip() or None
        if self._in_title or self._unseen:
            return
        if not self._preformatted:
            data = _BLANKS.sub(" ", data)
            if not self._parts or self._parts[-1].endswith(("\n", " ", "\t")):
                data = data.lstrip(" ")
        if data:
            self._parts.append(data)

    def _end_line(self, end: str) -> None:
        if not self._preformatted:
            while self._parts and self._parts[-1] in (" ", "\t"):
                self._parts.pop()
            if self._parts:
                self._parts[-1] = self._parts[-1].rstrip(" ")
        self._parts.append(end)

    def _begin_line(self) -> None:
        if self._parts and not self._parts[-1].endswith("\n"):
            self._end_line("\n")

    def _end_heading(self) -> None:
        if self._heading_from is not None:
            words = " ".join("".join(self._parts[self._heading_from :]).split())
            self._heading = words or self._heading
            self._heading_from = None

    def end_section(self) -> None:
        """Make a section of what was gathered."""
        self._end_heading()
        text = _MANY_LINES.sub("\n\n", "".join(self._parts)).strip("\n")
        self._parts = []
        if text.strip():
            self.sections.append(Section(text=text, heading=self._heading))
