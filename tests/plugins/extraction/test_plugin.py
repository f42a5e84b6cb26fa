"""The plugin among the others: what it costs a start, and what it says of itself."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import pytest
from tests.plugins.extraction.conftest import Reading, reading_with
from tests.plugins.extraction.making import docx, pdf_of, pptx, xlsx

from famulus import NoSettings, Plugin, hookimpl
from famulus_extraction.choosing import Choice
from famulus_extraction.known import EXTRA, extractors
from famulus_schemas.health import Health
from famulus_schemas.retrieval import Chunker, ExtractionRefused, Extractor

pytestmark = pytest.mark.anyio

START = """
import asyncio, json, sys
from famulus.testing import kernel_with

async def main():
    async with kernel_with("extraction") as server:
        await server.plugin("extraction").check_health()
        print(json.dumps(sorted(sys.modules)))

asyncio.run(main())
"""
HEAVY = ("pypdf", "docx", "pptx", "openpyxl", "lxml", "PIL", "charset_normalizer", "numpy")


async def test_a_start_imports_no_library_that_reads_files() -> None:
    done = await run(START)
    loaded = json.loads(done)
    assert [each for each in HEAVY if each in loaded] == []
    assert not any(each.startswith("famulus_extraction.read_") for each in loaded)


async def run(source: str) -> str:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", source, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    out, problems = await process.communicate()
    assert process.returncode == 0, problems.decode()
    return out.decode()


async def health(reading: Reading) -> Health:
    found: Health = await reading.server.plugin("extraction").check_health()
    return found


async def test_it_is_well_where_all_is_installed(reading: Reading) -> None:
    assert await health(reading) == Health()


def uninstall(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if the extra were not there: its packages are not found."""
    for name in ("pypdf", "docx", "pptx", "openpyxl"):
        monkeypatch.setitem(sys.modules, name, None)


@pytest.mark.parametrize("suffix", [".pdf", ".docx", ".pptx", ".xlsx"])
async def test_a_type_whose_library_is_missing_is_refused_with_a_remedy(
    suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    contents = {
        ".pdf": lambda: pdf_of("a"),
        ".docx": lambda: docx("a"),
        ".pptx": lambda: pptx(("a", "b")),
        ".xlsx": lambda: xlsx({"a": [["b"]]}),
    }
    content = contents[suffix]()
    uninstall(monkeypatch)
    async with reading_with(folder=tmp_path) as reading:
        code, message = await reading.refusal(content, f"a{suffix}")
        assert (code, EXTRA in message) == ("unsupported_file", True)
        assert await reading.text(b"text is read") == "text is read"


async def test_what_is_missing_is_told_at_plugins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uninstall(monkeypatch)
    async with reading_with(folder=tmp_path) as reading:
        listed = (await reading.server.get("/-/plugins")).json()["data"]
    [told] = [each["health"] for each in listed if each["name"] == "extraction"]
    assert told == {
        "status": "ok",
        "detail": f"PDF, Word, PowerPoint, Excel: not read; {EXTRA}",
    }


async def test_an_unknown_chunker_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(Exception, match="no chunker 'wild'; there are: auto"):
        async with reading_with(folder=tmp_path, chunker="wild"):
            pass


async def test_a_function_that_is_misspelt_is_told_at_the_start(tmp_path: Path) -> None:
    class Careless(Plugin[NoSettings]):
        """Names no function."""

        name = "careless"

        @hookimpl
        def register_chunkers(self) -> list[Chunker]:
            return [Chunker(name="careless", function="careless")]

        @hookimpl
        def register_extractors(self) -> list[Extractor]:
            return [Extractor(name="c", function="c.d", media_types=(), suffixes=(".txt",))]

    with pytest.raises(Exception, match="'careless' names no function"):
        async with reading_with(Careless, folder=tmp_path, chunker="careless"):
            pass
    async with reading_with(Careless, folder=tmp_path) as reading:
        assert await reading.text(b"as ever", "a.txt") == "as ever"


# -- which extractor ---------------------------------------------------------------------------

CHOICE = Choice(extractors())


@pytest.mark.parametrize(
    ("filename", "media_type", "head", "name"),
    [
        ("a.md", "", b"# a", "Markdown"),
        ("a.MD", "application/pdf", b"# a", "Markdown"),
        ("a.tar.csv", "", b"a,b", "CSV"),
        ("a", "text/markdown", b"# a", "Markdown"),
        ("a", "Text/HTML; charset=utf-8", b"<p>", "HTML"),
        ("a", "text/x-unheard-of", b"a", "text"),
        ("a", "application/octet-stream", b"a", "text"),
        ("a", "", b"%PDF-1.4", "PDF"),
        ("a.dat", "", b"a", "text"),
        ("dir.pdf/a", "", b"a", "text"),
        ("a.ts", "video/mp2t", b"let a = 1", "text"),
    ],
)
def test_a_type_is_known_by_name_then_by_media_type_then_by_content(
    filename: str, media_type: str, head: bytes, name: str
) -> None:
    assert CHOICE.of(filename, media_type, head).name == name


@pytest.mark.parametrize(
    ("filename", "head", "code", "reason"),
    [
        ("a.bin", b"\x00\x01\x02", "unsupported_file", "binary data"),
        ("a.zip", b"PK\x03\x04", "unsupported_file", "a ZIP archive"),
        ("a.doc", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "unsupported_file", "an old or encrypted"),
        ("a.rtf", b"{\\rtf1", "unsupported_file", "an RTF file"),
        ("a.png", b"\x89PNG\r\n\x1a\n\x00", "unsupported_file", "a PNG picture"),
        ("a.pdf", b"hello", "invalid_file", "called .pdf, but it is not: it is text"),
        ("a.xlsx", b"%PDF-", "invalid_file", "called .xlsx, but it is not: it is a PDF"),
    ],
)
def test_what_is_not_read_is_called_by_its_name(
    filename: str, head: bytes, code: str, reason: str
) -> None:
    with pytest.raises(ExtractionRefused) as refused:
        CHOICE.of(filename, "", head)
    assert refused.value.code == code
    assert reason in refused.value.message


@pytest.mark.parametrize(
    "word", ["BMW is a maker of cars", "MZ is a name", "GIF8 is no picture", "Rar! he said", "RIFF"]
)
def test_words_that_begin_like_another_form_are_text(word: str) -> None:
    assert CHOICE.of("a", "", word.encode()).name == "text"


def test_no_two_of_our_extractors_want_one_type() -> None:
    for field in ("suffixes", "media_types"):
        values = [each for extractor in extractors() for each in getattr(extractor, field)]
        assert len(values) == len(set(values))
        assert values == [each.lower() for each in values]
