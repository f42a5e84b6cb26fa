"""What indexes keep open, and what is left of them on the disk."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing, suppress
from pathlib import Path
from sqlite3 import OperationalError, connect

import pytest

from famulus.hands import Hands
from famulus.log import make_log
from famulus.testing.vectors_conformance import Shelf, toward
from famulus_indexes.indexes import Indexes, open_indexes
from famulus_indexes.settings import IndexSettings
from famulus_indexes.store import StoreIndex
from famulus_schemas.retention import DataPlace

pytestmark = pytest.mark.anyio

EAST = toward(1, 0, 0)
LOG = make_log("error", "json")


@asynccontextmanager
async def opened(folder: Path, **settings: float) -> AsyncIterator[Indexes]:
    async with open_indexes(folder, IndexSettings(**settings), log=LOG) as indexes:  # type: ignore[arg-type]
        yield indexes


async def search(indexes: Indexes, store: str = "s") -> int:
    found = await indexes.matching("p", store, "apple", where=None, limit=9)
    return len(found)


def texts(folder: Path) -> list[str]:
    """The texts that all files of a folder have; of one that is just being removed, none."""
    found: list[str] = []
    for path in folder.glob("*/*.db"):
        uri = f"{path.as_uri()}?mode=ro"
        with suppress(OperationalError), closing(connect(uri, uri=True)) as connection:
            found += (text for (text,) in connection.execute("select text from words"))
    return found


async def eventually(folder: Path, wanted: list[str]) -> None:
    async with asyncio.timeout(20):
        while texts(folder) != wanted:
            await asyncio.sleep(0.01)


async def test_what_went_while_no_server_was_there_is_removed_though_nobody_searches(
    tmp_path: Path,
) -> None:
    shelf = Shelf()
    for store in ("s", "t"):
        for name in ("a", "b"):
            shelf.put(name, [(f"apple {store} {name}", EAST)], store=store)
    async with opened(tmp_path) as indexes:
        indexes.use(shelf)
        assert (await search(indexes, "s"), await search(indexes, "t")) == (2, 2)
    assert len(texts(tmp_path)) == 4
    shelf.drop(store="s")
    shelf.take("a", store="t")
    async with opened(tmp_path) as indexes:
        indexes.use(shelf)
        await eventually(tmp_path, ["apple t b"])


async def test_what_goes_unsaid_is_removed_when_it_is_looked_for(tmp_path: Path) -> None:
    shelf = Shelf()
    shelf.put("a", [("apple", EAST)])
    async with opened(tmp_path, clear_up_s=0.01) as indexes:
        indexes.use(shelf)
        assert await search(indexes) == 1
        shelf.drop()
        await eventually(tmp_path, [])


async def test_what_one_process_erases_goes_soon_from_the_folders_that_others_have(
    tmp_path: Path,
) -> None:
    shelf = Shelf()
    shelf.put("a", [("apple", EAST)])
    async with opened(tmp_path) as serving, opened(tmp_path) as erasing:
        serving.use(shelf)
        assert await search(serving) == 1
        shelf.drop()
        [place] = [each for each in erasing.data_kinds() if isinstance(each, DataPlace)]
        assert await place.count("p") == 1
        await place.erase("p")
        await eventually(tmp_path, [])
        assert await place.count("p") == 0


async def test_an_index_that_lacks_something_is_left_for_whoever_searches(tmp_path: Path) -> None:
    shelf = Shelf()
    shelf.put("a", [("apple", EAST)])
    async with opened(tmp_path) as indexes:
        indexes.use(shelf)
        assert await search(indexes) == 1
    shelf.put("b", [("apple", EAST)])
    shelf.reads.clear()
    async with opened(tmp_path, clear_up_s=0.001) as indexes:
        indexes.use(shelf)
        async with asyncio.timeout(20):
            while shelf.reads["state"] < 3:
                await asyncio.sleep(0.001)
        assert shelf.reads["entries"] == 0


async def test_stores_that_are_closed_by_several_at_once_are_closed_once(tmp_path: Path) -> None:
    settings = IndexSettings(open_max=1)
    stores = [f"s{number}" for number in range(8)]

    class SlowToClose(StoreIndex):
        """Others may close some meanwhile."""

        async def close(self) -> None:
            for _ in range(20):
                await asyncio.sleep(0)
            await super().close()

    def make(path: Path, threads: Hands) -> StoreIndex:
        return SlowToClose(path, threads=threads, words_max=8, log=LOG)

    shelf = Shelf()
    for store in stores:
        shelf.put("a", [("apple", EAST)], store=store)
    async with open_indexes(tmp_path, settings, log=LOG, make=make) as indexes:
        indexes.use(shelf)
        for _ in range(5):
            found = await asyncio.gather(*(search(indexes, store) for store in stores))
            assert found == [1] * len(stores)
            for store in stores:
                shelf.describe("a", {}, store=store)
