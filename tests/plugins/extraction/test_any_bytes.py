"""Whatever bytes a file has, a reader gives sections, or says in a sentence why it does not."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.plugins.extraction.making import docx, pdf_of, pptx, xlsx

from famulus_extraction import (
    read_csv,
    read_docx,
    read_html,
    read_markdown,
    read_pdf,
    read_pptx,
    read_text,
    read_xlsx,
)
from famulus_extraction.document import document
from famulus_extraction.unreadable import Unreadable
from famulus_schemas.retrieval import Section

Read = Callable[[Path], Iterator[Section]]

TAGS = ("<p>", "</p>", "<h1>", "</h1>", "<script>", "</script>", "<pre>", "</pre>", "<li>", "<td>")
ODD = ("<title>", "</title>", "<br/>", "<!--", "-->", "<![CDATA[", "<?", "&amp;", "&#xd800;", "<")
OTHER = ("# a", "```", "~~~", "\n", "\r", " ", "word", "\0", "\ud800")
tags = st.sampled_from((*TAGS, *ODD, *OTHER))
markup = st.lists(tags, max_size=40).map(lambda each: "".join(each).encode(errors="surrogatepass"))


def said(read: Read, content: bytes) -> str:
    """All that is read of the content; empty where it is refused."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "content"
        path.write_bytes(content)
        try:
            sections = document(read(path), 1_000_000)
        except Unreadable as error:
            sections, refused = [], str(error)
        else:
            refused = "."
    assert refused.endswith(".")
    return "".join(each.text for each in sections)


@pytest.mark.parametrize("reader", [read_text, read_markdown, read_csv, read_html])
@settings(max_examples=60, deadline=None)
@given(content=st.binary(max_size=200) | markup)
def test_bytes_are_text_or_are_refused(reader: object, content: bytes) -> None:
    read: Read = reader.sections  # type: ignore[attr-defined]
    said(read, content).encode()


@given(words=st.lists(st.sampled_from(["one", "two", "three"]), min_size=1, max_size=9))
def test_no_word_of_a_page_is_lost(words: list[str]) -> None:
    page = "".join(f"<div><p>{word}<br></div><td>" for word in words)
    assert said(read_html.sections, page.encode()).split() == words


GOOD: list[tuple[Read, bytes]] = [
    (read_pdf.sections, pdf_of("Some words.")),
    (read_docx.sections, docx("Some words.")),
    (read_pptx.sections, pptx(("Some", "words."))),
    (read_xlsx.sections, xlsx({"A": [["Some words."]]})),
]


@pytest.mark.parametrize("number", range(len(GOOD)))
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_a_damaged_document_is_read_or_refused(number: int, data: st.DataObject) -> None:
    read, good = GOOD[number]
    at = data.draw(st.integers(0, len(good) - 1))
    damage = data.draw(st.binary(max_size=20))
    said(read, good[:at] + damage + good[at + len(damage) :])
