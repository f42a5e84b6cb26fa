"""Exact search keeps every promise of VECTORS, and what it keeps on the disk is only a cache."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from famulus import NoSettings, Plugin, need
from famulus.testing import conformance_for, kernel_with
from famulus.testing.vectors_conformance import DamagedCacheTests, OpenVectors, Shelf, toward
from famulus.testing.vectors_conformance.changes import ChangeTests
from famulus.testing.vectors_conformance.filters import FilterTests
from famulus.testing.vectors_conformance.nearest import NearestTests
from famulus_schemas.ports import VECTORS
from famulus_schemas.records import StoreUnavailable
from famulus_schemas.retrieval import Vectors

pytestmark = pytest.mark.anyio


class User(Plugin[NoSettings]):
    """Searches vectors."""

    name = "user"
    vectors = need(VECTORS)


@asynccontextmanager
async def opened(folder: Path, **settings: Any) -> AsyncIterator[Vectors]:
    tables = {"exact_vectors": settings}
    async with kernel_with("exact_vectors", User, data_dir=folder, settings=tables) as server:
        yield server.plugin("user").vectors


class TestExactVectors(conformance_for(VECTORS), DamagedCacheTests):  # type: ignore[misc]
    @pytest.fixture
    def open_vectors(self, tmp_path: Path) -> OpenVectors:
        return lambda: opened(tmp_path)

    @pytest.fixture
    def cache(self, tmp_path: Path) -> Path:
        return tmp_path / "vectors"


class TestExactVectorsInTheSmall(NearestTests, FilterTests, ChangeTests):
    """The same promises where nothing stays open, by one thread."""

    @pytest.fixture
    def open_vectors(self, tmp_path: Path) -> OpenVectors:
        return lambda: opened(tmp_path, memory_bytes_max=0, open_max=1, threads_max=1)


EAST = toward(1, 0, 0)


def store_file(folder: Path) -> Path:
    [path] = folder.rglob("*.db")
    return path


async def test_a_file_that_is_damaged_while_it_is_open_is_made_anew(tmp_path: Path) -> None:
    shelf = Shelf()
    for number in range(100):
        shelf.put(f"{number}", [(f"apple word{number}", EAST)] * 20)
    async with opened(tmp_path) as vectors:
        vectors.use(shelf)
        assert len(await vectors.matching("p", "s", "word7", where=None, limit=100)) == 20
    async with opened(tmp_path) as vectors:
        vectors.use(shelf)
        await vectors.nearest("p", "s", EAST, where=None, limit=1)
        path = store_file(tmp_path)
        with path.open("r+b") as file:
            file.seek(4096)
            file.write(b"\xa5" * (path.stat().st_size - 4096))
        for number in range(0, 100, 7):
            hits = await vectors.matching("p", "s", f"word{number}", where=None, limit=100)
            assert {hit.document for hit in hits} == {f"{number}"}
            assert len(hits) == 20


async def test_what_the_disk_refuses_is_told_and_over_once_it_does_not(tmp_path: Path) -> None:
    shelf = Shelf()
    shelf.put("a", [("apple", EAST)])
    async with opened(tmp_path) as vectors:
        vectors.use(shelf)
        await vectors.nearest("p", "s", EAST, where=None, limit=1)
    path = store_file(tmp_path)
    path.unlink()
    path.mkdir()
    async with opened(tmp_path) as vectors:
        vectors.use(shelf)
        with pytest.raises(StoreUnavailable, match="the index cannot be used: unable to open"):
            await vectors.nearest("p", "s", EAST, where=None, limit=1)
        path.rmdir()
        assert len(await vectors.nearest("p", "s", EAST, where=None, limit=1)) == 1


async def test_two_servers_with_one_folder_keep_out_of_each_others_way(tmp_path: Path) -> None:
    shelf = Shelf()
    shelf.put("a", [("apple", EAST)])
    async with opened(tmp_path) as one, opened(tmp_path) as two:
        for vectors in (one, two):
            vectors.use(shelf)
            assert len(await vectors.nearest("p", "s", EAST, where=None, limit=9)) == 1
        shelf.put("b", [("apple", EAST)])
        for vectors in (one, two):
            assert len(await vectors.matching("p", "s", "apple", where=None, limit=9)) == 2
    assert len(list(tmp_path.rglob("*.db"))) == 2


async def test_a_server_that_only_starts_does_not_read_numpy(tmp_path: Path) -> None:
    script = (
        "import asyncio, sys\n"
        "from pathlib import Path\n"
        "from famulus.testing import kernel_with\n"
        "async def main():\n"
        "    folder = Path(sys.argv[1])\n"
        "    async with kernel_with('exact_vectors', data_dir=folder) as server:\n"
        "        assert server.state('exact_vectors')[0] == 'running'\n"
        "        assert 'numpy' not in sys.modules\n"
        "asyncio.run(main())\n"
    )
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-c", script, str(tmp_path)],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
