"""What is read of PDF, Word, PowerPoint, Excel and HTML, and where it is said to stand."""

from __future__ import annotations

import io
from datetime import date, datetime

import pytest
from tests.plugins.extraction.conftest import Reading
from tests.plugins.extraction.making import docx, pdf_of, pptx, xlsx

pytestmark = pytest.mark.anyio


async def test_a_pdf_is_read_page_by_page(reading: Reading) -> None:
    pages = [f"This is what page {number} says." for number in (1, 2, 3)]
    found = await reading.chunks(pdf_of(*pages), "a.pdf", max_tokens=12, overlap_tokens=0)
    assert [(each.page, each.text) for each in found] == list(enumerate(pages, 1))


async def test_a_pdf_is_known_by_its_content_where_its_name_says_nothing(reading: Reading) -> None:
    assert await reading.text(pdf_of("Hello"), "download") == "Hello"
    assert await reading.text(pdf_of("Hello"), "x", media_type="application/pdf") == "Hello"


async def test_a_pdf_with_an_empty_password_is_read(reading: Reading) -> None:
    assert "secret" in await reading.text(encrypted_pdf(""), "a.pdf")


async def test_entries_of_a_pdfs_outline_are_headings(reading: Reading) -> None:
    from pypdf import PdfReader, PdfWriter

    writer = PdfWriter(clone_from=PdfReader(io.BytesIO(pdf_of("Alpha", "Beta", "Gamma"))))
    writer.add_outline_item(title="Part one", page_number=0)
    writer.add_outline_item(title="Part two", page_number=2)
    out = io.BytesIO()
    writer.write(out)
    found = await reading.chunks(out.getvalue(), "a.pdf", max_tokens=4, overlap_tokens=0)
    assert {each.page: each.heading for each in found} == {
        1: "Part one",
        2: "Part one",
        3: "Part two",
    }


async def test_a_word_document_is_read_by_its_headings(reading: Reading) -> None:
    content = docx(
        ("Title", "Report"), "Intro.", ("Heading 1", "First"), "Alpha.", ("Heading 2", "Second")
    )
    assert await reading.text(content, "a.docx") == "Report\n\nIntro.\n\nFirst\n\nAlpha.\n\nSecond"
    found = await reading.chunks(content, "a.docx", max_tokens=4, overlap_tokens=0)
    headings = {each.text.split(".")[0]: each.heading for each in found}
    assert headings["Intro"] == "Report"
    assert headings["Second"] == "Second"


async def test_tables_of_a_word_document_are_rows_of_cells(reading: Reading) -> None:
    from docx import Document

    document = Document()
    document.add_paragraph("Before")
    table = document.add_table(2, 2)
    for row, texts in zip(table.rows, [("name", "city"), ("Alice", "Berlin")], strict=True):
        for cell, text in zip(row.cells, texts, strict=True):
            cell.text = text
    document.add_paragraph("After")
    out = io.BytesIO()
    document.save(out)
    text = await reading.text(out.getvalue(), "a.docx")
    assert text == "Before\n\nname\tcity\nAlice\tBerlin\n\nAfter"


async def test_slides_are_pages_under_their_titles(reading: Reading) -> None:
    alpha, beta = "Alpha alpha. " * 10, "Beta beta. " * 10
    content = pptx(("One", alpha), ("Two", beta))
    found = await reading.chunks(content, "a.pptx", max_tokens=40, overlap_tokens=0)
    assert [(each.page, each.heading, each.text) for each in found] == [
        (1, "One", f"One\n\n{alpha.strip()}"),
        (2, "Two", f"Two\n\n{beta.strip()}"),
    ]


async def test_rows_of_a_workbook_stand_under_their_sheet(reading: Reading) -> None:
    rows = [
        ("name", "born", "seen", "share", "count", "ok"),
        ("Alice", date(1990, 5, 1), datetime(2024, 1, 2, 3, 4, 5), 0.5, 3.0, True),
        (None, None, None),
        ("=1+1", "a\nb"),
    ]
    content = xlsx({"People": rows, "Empty": [], "More": [["last"]]})
    assert await reading.text(content, "a.xlsx") == (
        "name\tborn\tseen\tshare\tcount\tok\n"
        "Alice\t1990-05-01\t2024-01-02 03:04:05\t0.5\t3\tTrue\n"
        "\ta b\n"
        "last"
    )
    found = await reading.chunks(content, "a.xlsx", max_tokens=8, overlap_tokens=0)
    assert list(dict.fromkeys(each.heading for each in found)) == ["People", "More"]


PAGE = """<!doctype html><html><head><title>Site</title><style>p {color: red}</style>
<script>var x = "<p>no</p>";</script></head><body>
<nav><ul><li>Home<li>About</ul></nav>
<h1>First <em>words</em></h1><p>Alpha
   and&nbsp;more &amp; more.<br>Next line.</p>
<table><tr><th>name</th><th>city</th></tr><tr><td>Alice</td><td>Berlin</td></tr></table>
<svg><text>drawn</text></svg><noscript>no</noscript>
<h2>Second</h2><pre>
  kept   as
    it is</pre>
</body></html>"""


async def test_html_is_what_a_person_sees_of_it(reading: Reading) -> None:
    text = await reading.text(PAGE.encode(), "a.html")
    assert text == (
        "Home\nAbout\n\nFirst words\n\nAlpha and\N{NO-BREAK SPACE}more & more.\nNext line.\n\n"
        "name\tcity\nAlice\tBerlin\n\nSecond\n\n  kept   as\n    it is"
    )


async def test_html_is_found_by_its_headings(reading: Reading) -> None:
    found = await reading.chunks(PAGE.encode(), "a.html", max_tokens=5, overlap_tokens=0)
    assert list(dict.fromkeys(each.heading for each in found)) == ["Site", "First words", "Second"]


def encrypted_pdf(password: str) -> bytes:
    from pypdf import PdfReader, PdfWriter

    writer = PdfWriter(clone_from=PdfReader(io.BytesIO(pdf_of("A secret."))))
    writer.encrypt(password, "owner", algorithm="RC4-128")
    out = io.BytesIO()
    writer.write(out)
    return out.getvalue()


async def test_an_encrypted_pdf_is_refused(reading: Reading) -> None:
    code, message = await reading.refusal(encrypted_pdf("x"), "a.pdf")
    assert (code, message) == (
        "invalid_file",
        "The PDF is encrypted; save it without a password.",
    )
