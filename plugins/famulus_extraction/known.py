"""The extractors and the chunker that come with this plugin, as a stranger's would."""

from __future__ import annotations

from importlib.util import find_spec

from famulus_extraction.archives import SIGNATURE
from famulus_schemas.retrieval import Chunker, Extractor

EXTRA = 'pip install "famulus[documents]"'
PDF = b"%PDF-"

TEXT_SUFFIXES = (
    "txt text log rst adoc org tex bib srt vtt eml "
    "json jsonl ndjson yaml yml toml ini cfg conf env properties xml xsd xsl svg "
    "c h cc cpp cxx hh hpp cs css scss less go java js jsx mjs cjs ts tsx php py pyi rb sh "
    "bash zsh fish bat ps1 rs sql swift kt kts scala lua pl pm r jl dart m mm ex exs erl "
    "hs clj lisp el vim f f90 asm s v vhd proto graphql gradle cmake mk tf diff patch"
)
"""What OpenAI's file search took, and what else is written by hand."""

TEXT = Extractor(
    name="text",
    function="famulus_extraction.read_text:sections",
    media_types=(
        "application/javascript",
        "application/json",
        "application/sql",
        "application/toml",
        "application/x-httpd-php",
        "application/x-ndjson",
        "application/x-sh",
        "application/x-tex",
        "application/xml",
        "application/yaml",
        "text/*",
    ),
    suffixes=tuple(f".{suffix}" for suffix in TEXT_SUFFIXES.split()),
)


def extractors() -> list[Extractor]:
    """What can be read, and with `missing` what could be."""
    return [
        TEXT,
        Extractor(
            name="Markdown",
            function="famulus_extraction.read_markdown:sections",
            media_types=("text/markdown", "text/x-markdown"),
            suffixes=(".md", ".markdown", ".mdx"),
        ),
        Extractor(
            name="CSV",
            function="famulus_extraction.read_csv:sections",
            media_types=("text/csv", "text/tab-separated-values"),
            suffixes=(".csv", ".tsv"),
        ),
        Extractor(
            name="HTML",
            function="famulus_extraction.read_html:sections",
            media_types=("text/html", "application/xhtml+xml"),
            suffixes=(".html", ".htm", ".xhtml"),
        ),
        Extractor(
            name="PDF",
            function="famulus_extraction.read_pdf:sections",
            media_types=("application/pdf",),
            suffixes=(".pdf",),
            signatures=(PDF,),
            missing=_missing("pypdf"),
        ),
        Extractor(
            name="Word",
            function="famulus_extraction.read_docx:sections",
            media_types=(
                "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
            ),
            suffixes=(".docx", ".docm"),
            signatures=(SIGNATURE,),
            missing=_missing("docx"),
        ),
        Extractor(
            name="PowerPoint",
            function="famulus_extraction.read_pptx:sections",
            media_types=(
                "application/vnd.openxmlformats-officedocument.presentationml.presentation",
            ),
            suffixes=(".pptx", ".pptm"),
            signatures=(SIGNATURE,),
            missing=_missing("pptx"),
        ),
        Extractor(
            name="Excel",
            function="famulus_extraction.read_xlsx:sections",
            media_types=("application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",),
            suffixes=(".xlsx", ".xlsm"),
            signatures=(SIGNATURE,),
            missing=_missing("openpyxl"),
        ),
    ]


def chunkers() -> list[Chunker]:
    """How files can be cut up."""
    return [Chunker(name="auto", function="famulus_extraction.chunking:chunks")]


def _missing(package: str) -> str | None:
    # Looked for, not imported: they are large, and of use only in the processes that read files.
    return None if find_spec(package) else EXTRA
