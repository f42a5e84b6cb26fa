"""Text of all kinds, as the port gives it."""

from __future__ import annotations

import pytest
from tests.plugins.extraction.conftest import Reading, pieces

from famulus_extraction.known import TEXT

pytestmark = pytest.mark.anyio

OPENAI_TEXT = ".c .cpp .cs .css .go .html .java .js .json .md .php .py .rb .sh .tex .ts .txt"


@pytest.mark.parametrize("suffix", [*OPENAI_TEXT.split(), ".csv", ".yaml", ".xml", ".rs", ".sql"])
async def test_what_openai_read_as_text_is_read(reading: Reading, suffix: str) -> None:
    assert await reading.text(b"some words", f"a{suffix}") == "some words"


@pytest.mark.parametrize("suffix", TEXT.suffixes[::9])
async def test_the_case_of_a_suffix_does_not_matter(reading: Reading, suffix: str) -> None:
    assert await reading.text(b"some words", f"A{suffix.upper()}") == "some words"


@pytest.mark.parametrize("name", ["Makefile", "README", "a.unheard-of", "..", "", ".env"])
async def test_text_is_read_whatever_it_is_called(reading: Reading, name: str) -> None:
    assert await reading.text(b"all: some words", name) == "all: some words"


@pytest.mark.parametrize(
    "encoding",
    ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1252", "latin-1"],
)
async def test_encodings_are_told_apart(reading: Reading, encoding: str) -> None:
    text = "Größere Änderungen wären überflüssig; schöne Grüße aus Köln. " * 20
    assert await reading.text(text.encode(encoding)) == text.strip()


@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        ("shift_jis", "これは日本語の文章です。文字コードを調べます。"),
        ("gb18030", "这是一个中文的句子，用来检查字符编码。"),
        ("koi8-r", "Это русский текст, написанный для проверки кодировки."),
        ("cp1251", "Это русский текст, написанный для проверки кодировки."),
    ],
)
async def test_other_scripts_are_told_apart(reading: Reading, encoding: str, text: str) -> None:
    assert text in await reading.text((text * 8).encode(encoding))


async def test_line_ends_become_one(reading: Reading) -> None:
    assert await reading.text(b"a\r\nb\rc\nd") == "a\nb\nc\nd"


async def test_markdown_is_found_by_its_headings(reading: Reading) -> None:
    words = "some words\n" * 10
    text = f"{words}\n# One #\n\n{words}\n```sh\n# no heading\n```\n{words}\n## Two\n{words}"
    found = await reading.chunks(text.encode(), "a.md", max_tokens=16, overlap_tokens=0)
    assert list(dict.fromkeys(each.heading for each in found)) == [None, "One", "Two"]
    assert all(text[each.start : each.end] == each.text for each in found)
    under_one = text[text.index("# One") : text.index("## Two")]
    inside = [each for each in found if each.heading == "One"]
    assert all(each.text.split("\n")[0] in under_one for each in inside)
    assert any("# no heading" in each.text for each in inside)


async def test_rows_of_a_table_stand_under_the_names_of_its_columns(reading: Reading) -> None:
    rows = "".join(f"{number},Alice {number},Berlin\n" for number in range(200))
    found = await reading.chunks(f"id,name,city\n{rows}".encode(), "people.csv")
    assert len(found) > 2
    assert {each.heading for each in found} == {"id,name,city"}
    assert all(each.text.split("\n")[1].count(",") == 2 for each in found)


async def test_a_file_that_comes_byte_by_byte_is_the_same(reading: Reading) -> None:
    content = "Wörter, Wörter. ".encode() * 300
    assert await reading.chunks(pieces(content, 1)) == await reading.chunks(content)


async def test_a_media_type_helps_where_a_name_does_not(reading: Reading) -> None:
    [chunk] = await reading.chunks(b"a,b\n1,2\n", "export", media_type="text/csv; charset=utf-8")
    assert chunk.heading == "a,b"


async def test_a_file_of_many_chunks_comes_in_batches(reading: Reading) -> None:
    from famulus_schemas.retrieval import Chunking

    batches = [
        batch
        async for batch in reading.port.chunks(
            pieces(b"some words. " * 40_000), filename="a.txt", chunking=Chunking()
        )
    ]
    assert len(batches) > 2
    assert max(map(len, batches)) <= 64
