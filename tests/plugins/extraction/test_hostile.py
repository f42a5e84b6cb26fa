"""Files that are broken or meant to do harm: each gives its text, or is refused with a reason."""

from __future__ import annotations

import asyncio
import gzip
import io
import json
import re
import zipfile
from collections.abc import AsyncIterator, Callable
from functools import cache
from pathlib import Path

import pytest
from tests.plugins.extraction.conftest import Reading, reading_with
from tests.plugins.extraction.making import (
    DOCUMENT,
    archive,
    deflated,
    docx,
    docx_of_xml,
    pdf,
    pdf_of,
    pdf_of_streams,
    png,
    pptx,
    shown,
    stream,
    with_part,
    xlsx,
    xlsx_of_xml,
    zeros,
)
from tests.plugins.extraction.test_documents import encrypted_pdf

from famulus_schemas.retrieval import Chunking, ExtractionRefused

pytestmark = pytest.mark.anyio
MB = 1_048_576
Make = Callable[[], bytes]


def laughs() -> str:
    entities = ['<!ENTITY a "ha">']
    for before, after in zip("abcdefghi", "bcdefghij", strict=True):
        entities.append(f'<!ENTITY {after} "{f"&{before};" * 10}">')
    return f"<!DOCTYPE w:document [{''.join(entities)}]>"


def paragraph(text: str) -> str:
    return f"<w:p><w:r><w:t>{text}</w:t></w:r></w:p>"


def overlapping() -> bytes:
    """An archive whose central directory names the same bytes over and over."""
    one = zeros(10_000_000)
    start = one.index(b"PK\x01\x02")
    end = one.index(b"PK\x05\x06")
    entry = one[start:end]
    count = 2000
    directory = b"".join(
        entry.replace(DOCUMENT.encode(), b"word/%07d.xml " % number) for number in range(count)
    )
    assert len(b"word/%07d.xml " % 1) == len(DOCUMENT)
    tail = bytearray(one[end:])
    tail[8:12] = count.to_bytes(2, "little") * 2
    tail[12:16] = len(directory).to_bytes(4, "little")
    return one[:start] + directory + bytes(tail)


def declared(size: int) -> bytes:
    """An archive of half a gigabyte whose document says that it has another size."""
    content = bytearray(bomb())
    at = content.index(b"PK\x01\x02")
    content[at + 24 : at + 28] = size.to_bytes(4, "little")
    return bytes(content)


@cache
def bomb() -> bytes:
    return zeros(490_000_000)


def escaping() -> bytes:
    return with_part(docx("Fine."), "../../../tmp/famulus-escaped.xml", b"<a/>")


def quine() -> bytes:
    """An archive that holds itself, as far as a few levels can show."""
    content = docx("Innermost.")
    for _ in range(20):
        content = archive({"self.docx": content})
    return content


def utf_16_entities() -> bytes:
    xml = f'<?xml version="1.0" encoding="UTF-16"?>{laughs()}<w:document/>'
    return with_part(docx(), DOCUMENT, xml.encode("utf-16"))


def recursive_pages() -> bytes:
    return pdf(
        [
            b"<< /Type /Catalog /Pages 2 0 R >>",
            b"<< /Type /Pages /Kids [3 0 R 2 0 R] /Count 2 >>",
            b"<< /Type /Pages /Parent 2 0 R /Kids [2 0 R 3 0 R] /Count 2 >>",
        ]
    )


def endless_xref() -> bytes:
    return pdf_of("a").replace(b"xref\n0 6\n", b"xref\n0 1000000000\n", 1)


def endless_xref_stream() -> bytes:
    """A cross-reference stream that says it has a billion entries."""
    body = b"%PDF-1.5\n1 0 obj\n<< /Type /Catalog /Pages 2 0 R >>\nendobj\n"
    xref = stream(bytes(30), b"/Type /XRef /Size 1000000000 /W [1 2 1] /Root 1 0 R")
    return body + b"3 0 obj\n%s\nendobj\nstartxref\n%d\n%%%%EOF\n" % (xref, len(body))


def pdf_bomb() -> bytes:
    return pdf_of_streams(deflated(shown("a") + b" " * 300_000_000))


def calls_itself() -> bytes:
    """A PDF whose drawing draws itself."""
    resources = b"/Resources << /XObject << /X 5 0 R >> >>"
    page = b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 9 9] /Contents 4 0 R %s >>" % resources
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        page,
        stream(b"/X Do"),
        stream(b"/X Do /X Do", b"/Type /XObject /Subtype /Form " + resources),
    ]
    return pdf(objects)


def shared_strings() -> bytes:
    """A workbook that says one long string a hundred thousand times."""
    cells = '<c t="s"><v>0</v></c>' * 10
    content = xlsx_of_xml(f"<sheetData>{f'<row>{cells}</row>' * 1000}</sheetData>")
    space = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    table = f'<sst xmlns="{space}"><si><t>{"long " * 6000}</t></si></sst>'
    with zipfile.ZipFile(io.BytesIO(content)) as file:
        types = file.read("[Content_Types].xml").decode()
    kind = "application/vnd.openxmlformats-officedocument.spreadsheetml.sharedStrings+xml"
    override = f'<Override PartName="/xl/sharedStrings.xml" ContentType="{kind}"/></Types>'
    types = types.replace("</Types>", override)
    content = with_part(content, "[Content_Types].xml", types.encode())
    return with_part(content, "xl/sharedStrings.xml", table.encode())


def truncated(content: bytes) -> bytes:
    return content[: len(content) * 2 // 3]


REFUSED: dict[str, tuple[str, Make, str]] = {
    "empty": ("a.txt", lambda: b"", "is empty"),
    "whitespace": ("a.txt", lambda: b" \n\t\r\n\x0c" * 10_000, "no text"),
    "NULs": ("a.txt", lambda: bytes(1_000_000), "not text"),
    "0xFF": ("a.txt", lambda: b"\xff" * 100_000, "no text|not text"),
    "noise": ("a.md", lambda: b"\x00\xff\x13\x88" * 50_000, "not text"),
    "a PDF called .txt": ("a.txt", lambda: pdf_of("a"), "it is a PDF"),
    "a PNG called .pdf": ("a.pdf", lambda: png(60_000, 60_000), "it is a PNG picture"),
    "a PNG called .html": ("a.html", lambda: png(1, 1), "it is a PNG picture"),
    "text called .docx": ("a.docx", lambda: b"just text", "it is text"),
    "an old Word file": (
        "a.docx",
        lambda: b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(5000),
        "old or encrypted Word",
    ),
    "a program called .py": ("a.py", lambda: b"\x7fELF" + bytes(100), "it is a program"),
    "gzip": ("a.log", lambda: gzip.compress(bytes(200 * MB)), "it is a gzip archive"),
    "UTF-32 of what are no characters": (
        "a.txt",
        lambda: b"\xff\xfe\x00\x00" + b"\xff\xff\xff\x7f" * 1000,
        "not text",
    ),
    "zip bomb": ("a.docx", bomb, "times its size"),
    "larger zip bomb": ("a.docx", lambda: declared(4_000_000_000), "too large"),
    "overlapping zip": ("a.xlsx", overlapping, "too large|damaged"),
    "nested zip": ("a.docx", lambda: archive({"a.zip": bomb()}), "not a Word document"),
    "quine": ("a.docx", quine, "not a Word document"),
    "lying zip": ("a.docx", lambda: declared(1000), "damaged"),
    "many parts": (
        "a.pptx",
        lambda: archive({f"ppt/{number}": b"" for number in range(10_001)}),
        "10001 parts",
    ),
    "a workbook called .docx": ("a.docx", lambda: xlsx({"A": [["a"]]}), "not a Word document"),
    "billion laughs": (
        "a.docx",
        lambda: docx_of_xml(paragraph("&j;"), laughs()),
        "declares entities",
    ),
    "billion laughs in UTF-16": ("a.docx", utf_16_entities, "declares entities"),
    "external entity": (
        "a.docx",
        lambda: docx_of_xml(
            paragraph("&x;"), '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]>'
        ),
        "declares entities",
    ),
    "external entity in a workbook": (
        "a.xlsx",
        lambda: with_part(
            xlsx({"A": [["a"]]}),
            "xl/sharedStrings.xml",
            b'<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a>&x;</a>',
        ),
        "declares entities",
    ),
    "deep XML": (
        "a.docx",
        lambda: docx_of_xml("<w:sdt>" * 200_000 + "</w:sdt>" * 200_000),
        "damaged",
    ),
    "truncated docx": ("a.docx", lambda: truncated(docx("text")), "damaged"),
    "truncated xlsx": ("a.xlsx", lambda: truncated(xlsx({"A": [["a"]]})), "damaged"),
    "truncated pptx": ("a.pptx", lambda: truncated(pptx(("a", "b"))), "damaged"),
    "repeated shared string": ("a.xlsx", shared_strings, "MB of text"),
    "PDF without text": ("a.pdf", lambda: pdf_of(""), "recognised"),
    "encrypted PDF": ("a.pdf", lambda: encrypted_pdf("secret"), "encrypted"),
    "truncated PDF": ("a.pdf", lambda: pdf_of("a")[:40], "damaged|no text"),
    "PDF of nothing but a header": ("a.pdf", lambda: b"%PDF-1.7\n" * 10_000, "damaged"),
    "recursive page tree": ("a.pdf", recursive_pages, "damaged|no text"),
    "drawing that draws itself": ("a.pdf", calls_itself, "damaged|no text"),
    "PDF bomb": ("a.pdf", pdf_bomb, "damaged|memory|longer|no text"),
    "endless xref": ("a.pdf", endless_xref, "damaged"),
    "endless xref stream": ("a.pdf", endless_xref_stream, "damaged|memory|longer|no text"),
    "an unknown archive": ("a.bin", lambda: archive({"a": b"a"}), "not read"),
    "a film": ("a.mp4", lambda: bytes(4) + b"ftypmp42" + bytes(100), "not read"),
}

READ: dict[str, tuple[str, Make, str]] = {
    "one long line": ("a.txt", lambda: b"x" * 10_000_000, "xxxx"),
    "one long line of words": ("a.txt", lambda: b"word, " * 300_000, "word, word"),
    "no end of dots": ("a.txt", lambda: b"." * 1_000_000, "...."),
    "UTF-7": ("a.txt", lambda: b"+ADw-script+AD4-alert(1)+ADw-/script+AD4- " * 99, "+ADw-script"),
    "surrogates in UTF-8": ("a.txt", lambda: b"before \xed\xa0\x80 after " * 3, "before"),
    "surrogates in UTF-16": (
        "a.txt",
        lambda: b"\xff\xfe" + "words and words ".encode("utf-16-le") * 9 + b"\x00\xd8b\x00",
        "words and words",
    ),
    "some NULs in UTF-8": ("a.txt", lambda: b"\xef\xbb\xbf" + b"word " * 99 + b"\0", "word"),
    "deep JSON": ("a.json", lambda: b"[" * 500_000 + b"]" * 500_000, "[[[["),
    "a number without end": ("a.json", lambda: b"1" * 1_000_000, "1111"),
    "deep HTML": ("a.html", lambda: b"<div><b>" * 100_000 + b"words", "words"),
    "HTML that never ends": ("a.html", lambda: b"words<p <p " + b"<a href='" * 500, "words"),
    "HTML with a script for ever": ("a.html", lambda: b"<p>words<script>" + b"x" * MB, "words"),
    "entities of HTML": ("a.html", lambda: b"words " + b"&amp;" * 300_000, "words &&&"),
    "billion laughs as XML": ("a.xml", lambda: laughs().encode(), "<!ENTITY"),
    "a hundred thousand headings": ("a.md", lambda: b"# h\n" * 100_000, "# h"),
    "a million columns": ("a.csv", lambda: b",".join([b"ab"] * 1_000_000), "ab,ab"),
    "a row without an end": ("a.csv", lambda: b'"' + b"a\n" * 200_000, "a"),
    "an escaping name in an archive": ("a.docx", escaping, "Fine."),
    "a billion cells declared": (
        "a.xlsx",
        lambda: xlsx_of_xml(
            '<dimension ref="A1:XFD1048576"/><sheetData><row r="1048576">'
            '<c r="XFD1048576" t="inlineStr"><is><t>last</t></is></c></row></sheetData>'
        ),
        "last",
    ),
    "PDF with something before it": ("a.pdf", lambda: b"\n\n junk " + pdf_of("words"), "words"),
}


@pytest.fixture(scope="module")
async def reading(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Reading]:
    """One server for all of them, as hostile files would meet it."""
    async with reading_with(
        folder=tmp_path_factory.mktemp("hostile"), text_bytes_max=20 * MB
    ) as started:
        yield started


@pytest.mark.parametrize("name", REFUSED)
async def test_it_is_refused_with_a_reason(reading: Reading, name: str) -> None:
    filename, make, reason = REFUSED[name]
    _, message = await reading.refusal(make(), filename)
    assert re.search(reason, message), message
    assert reading.spooled() == []


@pytest.mark.parametrize("name", READ)
async def test_it_gives_its_text(reading: Reading, name: str) -> None:
    filename, make, words = READ[name]
    found = await reading.chunks(make(), filename, overlap_tokens=0)
    assert any(words in each.text for each in found)
    assert all(0 < each.tokens <= 800 for each in found)
    json.dumps([each.text for each in found]).encode()
    "".join(each.text for each in found).encode()
    assert not any("\0" in each.text for each in found)
    assert reading.spooled() == []


@pytest.mark.parametrize(
    "filename",
    [
        "../../../../tmp/famulus-escaped.txt",
        "..\\..\\famulus-escaped.txt",
        "/tmp/famulus-escaped.txt",
        "a\0b.txt",
        "a\r\nb.txt",
        "x" * 5000 + ".txt",
        "\udcff.txt",
        "C:\\con.txt",
        ".txt/..",
    ],
)
async def test_a_name_is_never_a_path(reading: Reading, filename: str, tmp_path: Path) -> None:
    assert await reading.text(b"some words", filename) == "some words"
    assert not list(Path("/tmp").glob("famulus-escaped*"))
    assert not [each for each in reading.folder.rglob("*") if "escaped" in each.name]


async def test_one_after_the_other_they_leave_the_server_alone(
    reading: Reading, tmp_path: Path
) -> None:
    """Its memory does not grow with them, and others go on meanwhile."""
    bombs = ["zip bomb", "lying zip", "gzip", "billion laughs", "recursive page tree", "NULs"]
    files = []
    for name in bombs:
        filename, make, _ = REFUSED[name]
        path = tmp_path / f"{len(files)}"
        path.write_bytes(make())
        files.append((filename, path))
    before = peak_memory_from_now_on()
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    meanwhile = asyncio.create_task(others())
    for filename, path in files:
        earlier = turns
        with pytest.raises(ExtractionRefused):
            await reading.chunks(from_disk(path), filename)
        assert turns > earlier + 10
    meanwhile.cancel()
    assert peak_memory() - before < 50 * MB


async def from_disk(path: Path) -> AsyncIterator[bytes]:
    with path.open("rb") as file:
        while piece := file.read(MB):
            yield piece


def peak_memory_from_now_on() -> int:
    """Forget the peak so far; what the memory is now."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        pytest.skip("NOT TESTED: this system does not tell a process's peak memory")
    return peak_memory()


def peak_memory() -> int:
    [line] = re.findall(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return int(line) * 1024


async def test_chunks_of_a_large_file_come_without_filling_memory(
    reading: Reading, tmp_path: Path
) -> None:
    path = tmp_path / "large"
    path.write_bytes(b"Some words of a large file. " * 250_000)
    before = peak_memory_from_now_on()
    number = 0
    async for batch in reading.port.chunks(from_disk(path), filename="a.txt", chunking=Chunking()):
        number += len(batch)
    assert number > 2000
    assert peak_memory() - before < 50 * MB


def test_the_bombs_are_bombs() -> None:
    assert len(REFUSED) + len(READ) >= 25
    with zipfile.ZipFile(io.BytesIO(bomb())) as file:
        assert file.getinfo(DOCUMENT).file_size == 490_000_000
