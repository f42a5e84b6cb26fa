"""Which extractor reads a file: by its name, what its giver calls it, and how it begins."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePosixPath

from famulus_extraction.known import TEXT
from famulus_extraction.signatures import has, is_text, what_it_is
from famulus_schemas.retrieval import ExtractionRefused, Extractor

ANY_TEXT = "text/*"


class Choice:
    """All extractors there are; of two for one type, the first counts."""

    def __init__(self, extractors: Sequence[Extractor]) -> None:
        self._all = tuple(extractors)
        self._by_suffix: dict[str, Extractor] = {}
        self._by_media_type: dict[str, Extractor] = {}
        for extractor in extractors:
            for suffix in extractor.suffixes:
                self._by_suffix.setdefault(suffix, extractor)
            for media_type in extractor.media_types:
                self._by_media_type.setdefault(media_type, extractor)

    def of(self, filename: str, media_type: str, head: bytes) -> Extractor:
        """Who reads it. Raises ExtractionRefused, saying why nobody does."""
        extractor = (
            self._by_suffix.get(_suffix(filename))
            or self._of_media_type(media_type)
            or self._of_content(head)
        )
        found = what_it_is(head)
        if extractor is None:
            raise ExtractionRefused(
                "unsupported_file",
                f"Files of this type are not read: this one is {found or 'of no known kind'}.",
            )
        if extractor.signatures and not has(head, extractor.signatures):
            raise ExtractionRefused(
                "invalid_file",
                f"The file is called {_called(filename, extractor)}, but it is not: "
                f"it is {found or 'text'}.",
            )
        if extractor.missing:
            raise ExtractionRefused(
                "unsupported_file",
                f"{extractor.name} files are not read by this server: its operator has to "
                f"run {extractor.missing}",
            )
        return extractor

    @property
    def missing(self) -> dict[str, list[str]]:
        """What to install, and which extractors need it."""
        found: dict[str, list[str]] = {}
        for extractor in self._all:
            if extractor.missing:
                found.setdefault(extractor.missing, []).append(extractor.name)
        return found

    def _of_media_type(self, media_type: str) -> Extractor | None:
        essence = media_type.partition(";")[0].strip().lower()
        if essence.startswith("text/"):
            return self._by_media_type.get(essence) or self._by_media_type.get(ANY_TEXT)
        return self._by_media_type.get(essence)

    def _of_content(self, head: bytes) -> Extractor | None:
        for extractor in self._all:
            # An archive may be anything: what is in it is not looked at here.
            if any(head.startswith(each) and each[:2] != b"PK" for each in extractor.signatures):
                return extractor
        return TEXT if is_text(head) and what_it_is(head) is None else None


def _suffix(filename: str) -> str:
    name = PurePosixPath(filename.replace("\\", "/")).name
    return f".{name.rpartition('.')[2].lower()}" if "." in name else ""


def _called(filename: str, extractor: Extractor) -> str:
    suffix = _suffix(filename)
    return suffix if suffix in extractor.suffixes else f"a {extractor.name} file"
