"""VECTORS in this process: one index a store, made when it is searched and kept as a cache."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

from famulus.hands import Hands
from famulus.log import Log
from famulus_indexes.changes import Changes, Key
from famulus_indexes.leftovers import Leftovers
from famulus_indexes.residue import Residue
from famulus_indexes.rounds import Rounds
from famulus_indexes.settings import IndexSettings
from famulus_indexes.slots import taken_slot
from famulus_schemas.records import StoreUnavailable
from famulus_schemas.retention import Data
from famulus_schemas.retrieval import Hit, Predicate, VectorSource

if TYPE_CHECKING:
    from famulus_indexes.store import StoreIndex

T = TypeVar("T")

ATTEMPTS_MAX: Final = 3
"""A search whose file is closed or damaged meanwhile is made again, on another one."""

Make = Callable[[Path, Hands], "StoreIndex"]
"""Makes the index of the store whose file has this path."""


class Entrance:
    """One store's index, who is in it, and its rounds of bringing in."""

    def __init__(self, index: StoreIndex) -> None:
        self.index = index
        self.users = 0
        self.rounds = Rounds()


class Indexes:
    """The Vectors port; made by `open_indexes`."""

    def __init__(
        self,
        make: Make,
        folder: Path,
        *,
        threads: Hands,
        settings: IndexSettings,
        log: Log,
    ) -> None:
        self._make = make
        self._folder = folder
        self._threads = threads
        self._settings = settings
        self._log = log
        self._source: VectorSource | None = None
        self._entrances: OrderedDict[Key, Entrance] = OrderedDict()
        """The stores that are open, the one that was used last at the end."""
        self.changes = Changes(self._open, waiting_max=settings.changed_max, log=log)
        self.leftovers = Leftovers(
            folder,
            threads=threads,
            changes=self.changes,
            is_open=self._entrances.__contains__,
            discard=self._discard,
            pause_s=settings.clear_up_s,
            log=log,
        )

    @property
    def open_count(self) -> int:
        """How many stores are open."""
        return len(self._entrances)

    @property
    def size_bytes(self) -> int:
        """What their vectors take in memory."""
        return sum(entrance.index.size_bytes for entrance in self._entrances.values())

    def use(self, source: VectorSource) -> None:
        """As Vectors.use."""
        self._source = source
        self.leftovers.use(source)

    async def changed(self, project: str, store: str) -> None:
        """As Vectors.changed."""
        self.changes.add((project, store))

    async def nearest(
        self, project: str, store: str, vector: bytes, *, where: Predicate | None, limit: int
    ) -> Sequence[Hit]:
        """As Vectors.nearest. Raises ValueError for what is no vector of the store."""
        if limit <= 0:
            return []
        return await self._search(
            (project, store), lambda index: partial(index.nearest, vector, where, limit)
        )

    async def matching(
        self, project: str, store: str, text: str, *, where: Predicate | None, limit: int
    ) -> Sequence[Hit]:
        """As Vectors.matching."""
        if limit <= 0:
            return []
        return await self._search(
            (project, store), lambda index: partial(index.matching, text, where, limit)
        )

    def data_kinds(self) -> list[Data]:
        """What is kept in the folder, of this process and of those before it."""
        residue = Residue(
            self._folder,
            threads=self._threads,
            let_go=self._let_go,
            discard=self._discard,
            name_of=_file_name,
        )
        return residue.data_kinds(lambda: self._source)

    async def _let_go(self, key: Key) -> None:
        """Close a store's index, whose file is about to be removed."""
        entrance = self._entrances.pop(key, None)
        if entrance is not None:
            async with entrance.rounds.lock:
                await entrance.index.discard()

    async def _discard(self, key: Key) -> None:
        """Remove a store's file, open or not; whoever searches it next makes another."""
        entrance = await self._entered(key)
        async with entrance.rounds.lock:
            await entrance.index.discard()

    async def close(self) -> None:
        """Let go of everything; nobody may be searching."""
        while self._entrances:
            _, entrance = self._entrances.popitem()
            await entrance.index.close()

    async def _search(
        self, key: Key, search: Callable[[StoreIndex], Callable[[], list[Hit]]]
    ) -> list[Hit]:
        from famulus_indexes.file import Closed, Damaged

        attempt = 0
        while True:
            attempt += 1
            async with self._ready(key) as entrance:
                generation = entrance.index.generation
                try:
                    return await entrance.index.do(search(entrance.index))
                except (Closed, Damaged) as error:
                    if attempt == ATTEMPTS_MAX:
                        raise StoreUnavailable(f"the index cannot be used: {error!r}") from error
                    if isinstance(error, Closed):
                        continue
                    self._log.warning("index_made_anew", store=key[1], reason=str(error))
                    async with entrance.rounds.lock:
                        if entrance.index.generation == generation:
                            await entrance.index.discard()

    @asynccontextmanager
    async def _ready(self, key: Key) -> AsyncIterator[Entrance]:
        """The store's index, with everything in it that is listed by now."""
        assert self._source is not None, "nobody has said by `use` what to search"
        entrance = await self._entered(key)
        entrance.users += 1
        try:
            generation = await self._source.generation(*key)
            if entrance.index.generation != generation:
                await self._bring_in(key, entrance, self._source)
            yield entrance
        finally:
            entrance.users -= 1

    async def _open(self, key: Key) -> None:
        async with self._ready(key):
            pass

    async def _entered(self, key: Key) -> Entrance:
        if key not in self._entrances:
            # numpy is imported with it, off the loop.
            make = await self._threads.do(self._maker)
            if key not in self._entrances:
                self._entrances[key] = Entrance(make(self._folder / _file_name(key), self._threads))
        self._entrances.move_to_end(key)
        return self._entrances[key]

    def _maker(self) -> Make:
        import famulus_indexes.store  # noqa: F401

        return self._make

    async def _bring_in(self, key: Key, entrance: Entrance, source: VectorSource) -> None:
        await entrance.rounds.join(lambda: entrance.index.bring_in(*key, source))
        await self._close_unused()

    async def _close_unused(self) -> None:
        taken = self.size_bytes
        for key, entrance in list(self._entrances.items())[:-1]:
            few = len(self._entrances) <= self._settings.open_max
            if few and taken <= self._settings.memory_bytes_max:
                return
            # Others may have closed it meanwhile, or be in it.
            if entrance.users or self._entrances.get(key) is not entrance:
                continue
            del self._entrances[key]
            taken -= entrance.index.size_bytes
            await entrance.index.close()


def _file_name(key: Key) -> str:
    return sha256("\0".join(key).encode("utf-8", "surrogatepass")).hexdigest()[:40] + ".db"


@asynccontextmanager
async def open_indexes(
    folder: Path, settings: IndexSettings, *, log: Log, make: Make | None = None
) -> AsyncIterator[Indexes]:
    """Search indexes that are kept in a folder, until left; exactly, or as `make` has it."""
    threads = Hands(settings.threads_max, name="indexes")

    def make_exact(path: Path, threads: Hands) -> StoreIndex:
        from famulus_indexes.store import StoreIndex

        return StoreIndex(path, threads=threads, words_max=settings.query_words_max, log=log)

    try:
        with taken_slot(folder) as slot:
            indexes = Indexes(make or make_exact, slot, threads=threads, settings=settings, log=log)
            background = [
                asyncio.create_task(work)
                for work in (indexes.changes.run(), indexes.leftovers.run())
            ]
            try:
                yield indexes
            finally:
                for task in background:
                    task.cancel()
                await asyncio.gather(*background, return_exceptions=True)
                await indexes.close()
    finally:
        threads.close()
