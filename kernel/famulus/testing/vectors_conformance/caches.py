"""Damaged caches: whatever happened to its files, a provider answers as if they were whole."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from famulus.testing.vectors_conformance.nearest import scattered
from famulus.testing.vectors_conformance.opening import OpenVectors, VectorsTests, nearest
from famulus.testing.vectors_conformance.shelf import Shelf, toward


def _zeroed_page(content: bytes) -> bytes:
    middle = len(content) // 2 // 4096 * 4096
    return content[:middle] + bytes(len(content[middle : middle + 4096])) + content[middle + 4096 :]


def _files(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.rglob("*")) if path.is_file()]


DAMAGES: dict[str, Callable[[bytes], bytes | None]] = {
    "gone": lambda content: None,
    "empty": lambda content: b"",
    "truncated": lambda content: content[: len(content) // 2],
    "truncated by a byte": lambda content: content[:-1],
    "garbage": lambda content: b"\xa5" * len(content),
    "garbage after its head": lambda content: content[:100] + b"\xa5" * (len(content) - 100),
    "a page of zeros": _zeroed_page,
    "too long": lambda content: content + b"\xa5" * 10_000,
    "of someone else": lambda content: b"#!/bin/sh\n",
}


class DamagedCacheTests(VectorsTests):
    """A subclass gives `cache`, the folder of the files, which a provider has once it is closed."""

    @pytest.fixture
    def cache(self) -> Path:
        raise NotImplementedError("a subclass says where its files are")

    def filled(self) -> Shelf:
        """What is searched; a subclass may have more of it."""
        shelf = Shelf(16)
        for number in range(8):
            vectors = scattered(number, 40, 16)
            shelf.put(f"{number}", [("apple pie", vector) for vector in vectors])
        return shelf

    @pytest.mark.parametrize("damage", DAMAGES)
    async def test_damaged_files_are_made_anew(
        self, open_vectors: OpenVectors, cache: Path, damage: str
    ) -> None:
        shelf = self.filled()
        query = toward(*range(1, 17))
        async with open_vectors() as vectors:
            vectors.use(shelf)
            expected = await nearest(vectors, query)
            assert len(expected) == 320
        files = _files(cache)
        assert any(path.stat().st_size > 20_000 for path in files)
        for path in files:
            content = DAMAGES[damage](path.read_bytes())
            if content is None:
                path.unlink()
            else:
                path.write_bytes(content)
        for _ in range(2):
            async with open_vectors() as vectors:
                vectors.use(shelf)
                assert await nearest(vectors, query) == expected
                hits = await vectors.matching("p", "s", "apple", where=None, limit=1000)
                assert len(hits) == 320
