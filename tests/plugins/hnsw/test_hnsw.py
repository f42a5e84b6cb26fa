"""Graphs keep every promise of VECTORS, exact where stores are small, and harm nobody."""

from __future__ import annotations

import asyncio
import io
import os
import random
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.plugins.large_stores import QUERY, add, filled

from famulus import NoSettings, Plugin, need
from famulus.log import make_log
from famulus.testing import conformance_for, kernel_with
from famulus.testing.vectors_conformance import DamagedCacheTests, OpenVectors, Shelf
from famulus.testing.vectors_conformance.changes import ChangeTests
from famulus.testing.vectors_conformance.filters import FilterTests
from famulus.testing.vectors_conformance.nearest import NearestTests
from famulus_schemas.ports import VECTORS
from famulus_schemas.retrieval import Comparison, Vectors

pytest.importorskip("hnswlib", reason="NOT TESTED: hnswlib is not installed, nor a compiler")
pytestmark = pytest.mark.anyio

SMALL = {"exact_chunks_max": 40, "retry_s": 0.0}
"""Everything with more than 40 chunks is large."""


class User(Plugin[NoSettings]):
    """Searches vectors."""

    name = "user"
    vectors = need(VECTORS)


class Server:
    """A server with graphs."""

    def __init__(self, vectors: Vectors, plugin: Any, log: io.StringIO) -> None:
        self.vectors = vectors
        self.plugin = plugin
        self._log = log

    def logged(self, event: str) -> list[dict[str, Any]]:
        lines = [msgspec.json.decode(line) for line in self._log.getvalue().splitlines()]
        return [line for line in lines if line["event"] == event]

    async def read(self, times: int = 1) -> None:
        """Wait until graphs have been read so many times."""
        while len(self.logged("graph_read")) < times:
            assert not self.logged("graph_failed"), self.logged("graph_failed")
            await asyncio.sleep(0.01)

    async def found(self, query: bytes, limit: int = 10, **where: Any) -> list[tuple[str, int]]:
        predicate = Comparison(**where) if where else None
        hits = await self.vectors.nearest("p", "s", query, where=predicate, limit=limit)
        assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
        return [(hit.document, hit.number) for hit in hits]

    @property
    def asked(self) -> int:
        """Searches that were answered by a graph."""
        return int(self.plugin._graphs.answered)


@asynccontextmanager
async def opened(
    folder: Path, shelf: Shelf | None = None, **settings: Any
) -> AsyncIterator[Server]:
    stream = io.StringIO()
    async with kernel_with(
        *("hnsw", "exact_vectors", User),
        data_dir=folder,
        settings={"hnsw": SMALL | settings},
        ports={"vectors": "hnsw"},
        log=make_log("info", "json", stream=stream),
    ) as server:
        assert server.state("exact_vectors") == ("off", "hnsw does its job")
        vectors = server.plugin("user").vectors
        if shelf is not None:
            vectors.use(shelf)
        yield Server(vectors, server.plugin("hnsw"), stream)


@asynccontextmanager
async def port(folder: Path, **settings: Any) -> AsyncIterator[Vectors]:
    async with opened(folder, **settings) as server:
        yield server.vectors


class TestHnsw(conformance_for(VECTORS), DamagedCacheTests):  # type: ignore[misc]
    @pytest.fixture
    def open_vectors(self, tmp_path: Path) -> OpenVectors:
        return lambda: port(tmp_path, exact_chunks_max=10_000)

    @pytest.fixture
    def cache(self, tmp_path: Path) -> Path:
        return tmp_path / "vectors"


class TestHnswInTheSmall(NearestTests, FilterTests, ChangeTests):
    """The same promises where nearly everything is large, and graphs come and go meanwhile."""

    @pytest.fixture
    def open_vectors(self, tmp_path: Path) -> OpenVectors:
        return lambda: port(tmp_path, exact_chunks_max=3, search_width=500)


async def exact(folder: Path, shelf: Shelf, query: bytes, **where: Any) -> list[tuple[str, int]]:
    async with opened(folder / "exact", shelf, exact_chunks_max=1_000_000) as server:
        found = await server.found(query, **where)
        assert server.asked == 0
        return found


async def test_a_large_store_gets_a_graph_and_exact_search_serves_meanwhile(tmp_path: Path) -> None:
    shelf = filled()
    expected = await exact(tmp_path, shelf, QUERY)
    async with opened(tmp_path, shelf) as server:
        assert await server.found(QUERY) == expected
        assert server.asked == 0
        await server.read()
        assert await server.found(QUERY) == expected
        assert server.asked == 1


async def test_a_graph_is_there_after_a_restart(tmp_path: Path) -> None:
    shelf = filled()
    async with opened(tmp_path, shelf) as server:
        expected = await server.found(QUERY)
        await server.read()
    async with opened(tmp_path, shelf) as server:
        await server.found(QUERY)
        await server.read()
        assert await server.found(QUERY) == expected
        assert server.asked == 1
        assert not server.logged("graph_being_built")


async def test_what_the_graph_lacks_is_compared_too(tmp_path: Path) -> None:
    shelf = filled()
    async with opened(tmp_path, shelf) as server:
        await server.found(QUERY)
        await server.read()
        shelf.put("new", [("x", QUERY)] * 3)
        assert (await server.found(QUERY))[:3] == [("new", 0), ("new", 1), ("new", 2)]
        shelf.take("new")
        best = (await server.found(QUERY))[0][0]
        shelf.take(best)
        assert best not in {name for name, _ in await server.found(QUERY)}
        assert server.asked == 3
        assert len(server.logged("graph_being_built")) == 1


async def test_a_graph_is_brought_up_to_date_once_much_has_changed(tmp_path: Path) -> None:
    shelf = filled()
    async with opened(tmp_path, shelf) as server:
        await server.found(QUERY)
        await server.read()
        for number in range(30, 40):
            add(shelf, number)
        for number in range(5):
            shelf.take(f"{number}")
        expected = await exact(tmp_path, shelf, QUERY)
        assert await server.found(QUERY) == expected
        await server.read(2)
        assert await server.found(QUERY) == expected
        for number in range(5, 30):
            shelf.take(f"{number}")
        expected = await exact(tmp_path, shelf, QUERY)
        assert await server.found(QUERY) == expected
        await server.read(3)
        assert await server.found(QUERY) == expected
        assert server.asked >= 2


async def test_filters_are_exact_in_what_passes_few_and_full_in_what_passes_many(
    tmp_path: Path,
) -> None:
    shelf = filled()
    async with opened(tmp_path, shelf) as server:
        await server.found(QUERY)
        await server.read()
        few = {"op": "eq", "key": "tenth", "value": True}
        many = {"op": "eq", "key": "tenth", "value": False}
        assert await server.found(QUERY, **few) == await exact(tmp_path, shelf, QUERY, **few)
        assert len(await server.found(QUERY, limit=60, **few)) == 60
        assert await server.found(QUERY, **many) == await exact(tmp_path, shelf, QUERY, **many)
        assert len(await server.found(QUERY, limit=530, **many)) == 530
        assert len(await server.found(QUERY, limit=1000, **many)) == 540
        assert server.asked >= 1


async def test_more_than_there_are_can_be_asked_for(tmp_path: Path) -> None:
    shelf = filled()
    async with opened(tmp_path, shelf) as server:
        await server.found(QUERY)
        await server.read()
        for limit in (599, 600, 601, 5000, 2**40):
            assert len(await server.found(QUERY, limit=limit)) == min(600, limit)


async def test_a_process_that_dies_is_replaced_and_nobody_sees_it(tmp_path: Path) -> None:
    shelf = filled()
    async with opened(tmp_path, shelf) as server:
        expected = await server.found(QUERY)
        await server.read()
        os.kill(server.plugin._graphs.searcher._process.pid, signal.SIGSEGV)
        assert await server.found(QUERY) == expected
        assert (await server.plugin.check_health()).status == "degraded"
        while server.asked < 1:
            assert await server.found(QUERY) == expected
            await asyncio.sleep(0.01)


async def test_whatever_byte_of_a_graph_is_another_it_is_built_anew(tmp_path: Path) -> None:
    shelf = filled()
    async with opened(tmp_path, shelf) as server:
        expected = await server.found(QUERY)
        await server.read()
    [graph] = tmp_path.rglob("*.hnsw")
    content = graph.read_bytes()
    chance = random.Random(1)
    for at in (8, 96, chance.randrange(len(content))):
        graph.write_bytes(
            content[:at] + bytes([content[at] ^ (1 << chance.randrange(8))]) + content[at + 1 :]
        )
        async with opened(tmp_path, shelf) as server:
            assert await server.found(QUERY) == expected
            await server.read()
            assert len(server.logged("graph_being_built")) == 1
            assert await server.found(QUERY) == expected
            assert server.asked == 1
        assert graph.read_bytes() != b""


@pytest.mark.parametrize("damage", ["gone", "garbage", "other"])
async def test_without_what_says_that_it_is_whole_a_graph_is_built_anew(
    tmp_path: Path, damage: str
) -> None:
    shelf = filled()
    async with opened(tmp_path, shelf) as server:
        await server.found(QUERY)
        await server.read()
    [manifest] = tmp_path.rglob("*.hnsw.json")
    content = manifest.read_bytes()
    if damage == "gone":
        manifest.unlink()
    else:
        changed = content.replace(b'"links":16', b'"links":17')
        manifest.write_bytes({"garbage": b"\xa5" * 50, "other": changed}[damage])
    async with opened(tmp_path, shelf) as server:
        await server.found(QUERY)
        await server.read()
        assert len(server.logged("graph_being_built")) == 1


async def test_a_server_that_stops_ends_what_it_builds(tmp_path: Path) -> None:
    shelf = filled(60)
    async with opened(tmp_path, shelf) as server:
        await server.found(QUERY)
        while not server.logged("graph_being_built"):
            await asyncio.sleep(0)
    async with opened(tmp_path, shelf) as server:
        await server.found(QUERY)
        await server.read()
        await server.found(QUERY)
        assert server.asked == 1


async def test_nothing_is_left_of_a_store_that_is_gone(tmp_path: Path) -> None:
    shelf = filled()
    async with opened(tmp_path, shelf) as server:
        await server.found(QUERY)
        await server.read()
        shelf.drop()
        assert await server.found(QUERY) == []
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["lock"]


async def test_without_the_library_it_says_what_to_install_and_is_exact(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "hnswlib", None)
    shelf = filled()
    async with opened(tmp_path, shelf) as server:
        assert len(await server.found(QUERY)) == 10
        health = await server.plugin.check_health()
        assert health.status == "degraded"
        assert 'pip install "famulus[hnsw]"' in health.detail
        assert not server.logged("graph_being_built")


async def test_it_is_off_unless_it_is_named(tmp_path: Path) -> None:
    async with kernel_with("hnsw", "exact_vectors", User, data_dir=tmp_path) as server:
        assert server.state("hnsw") == ("off", "exact_vectors does its job")
        assert server.state("exact_vectors") == ("running", "")
