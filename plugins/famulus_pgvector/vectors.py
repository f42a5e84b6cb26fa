"""VECTORS in PostgreSQL: what is searched is what the database has of the generation asked for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, Final
from weakref import WeakValueDictionary

from famulus.log import Log
from famulus_indexes.changes import Changes, Key
from famulus_indexes.rounds import Rounds
from famulus_pgvector import searching
from famulus_pgvector.building import Builder
from famulus_pgvector.database import (
    NO_STORE,
    Bringing,
    StoreRow,
    alone,
    find_store,
    name_bytes,
    remove,
)
from famulus_pgvector.sessions import opened_pool, reached
from famulus_pgvector.settings import PgvectorSettings
from famulus_schemas.records import StoreUnavailable
from famulus_schemas.retrieval import Hit, Predicate, VectorSource

ATTEMPTS_MAX: Final = 10
"""Another process may bring in a later generation each time before this one has searched."""

_STORES: Final = "select id, name from store where project = $1"
_DOCUMENTS: Final = "select name from document where store = $1"

Search = Callable[[Any, StoreRow], Awaitable[Sequence[Hit]]]


class PgVectors:
    """The Vectors port; made by `open_vectors`."""

    def __init__(
        self, pool: Any, builder: Builder, settings: PgvectorSettings, *, log: Log
    ) -> None:
        self._pool = pool
        self.builder = builder
        self._settings = settings
        self._log = log
        self._source: VectorSource | None = None
        self._rounds: WeakValueDictionary[Key, Rounds] = WeakValueDictionary()
        self._bringing = asyncio.Semaphore(settings.pool_max // 2)
        self.changes = Changes(self._bring_in, waiting_max=settings.changed_max, log=log)

    def use(self, source: VectorSource) -> None:
        """As Vectors.use."""
        self._source = source

    async def changed(self, project: str, store: str) -> None:
        """As Vectors.changed."""
        self.changes.add((project, store))

    async def nearest(
        self, project: str, store: str, vector: bytes, *, where: Predicate | None, limit: int
    ) -> Sequence[Hit]:
        """As Vectors.nearest. Raises StoreUnavailable."""

        async def search(connection: Any, row: StoreRow) -> Sequence[Hit]:
            query = _row(vector, row.dimensions)
            return await searching.nearest(
                connection, row, query, where, limit, settings=self._settings
            )

        return await self._search((project, store), search) if limit > 0 else []

    async def matching(
        self, project: str, store: str, text: str, *, where: Predicate | None, limit: int
    ) -> Sequence[Hit]:
        """As Vectors.matching. Raises StoreUnavailable."""

        async def search(connection: Any, row: StoreRow) -> Sequence[Hit]:
            return await searching.matching(
                connection, row, text, where, limit, settings=self._settings
            )

        return await self._search((project, store), search) if limit > 0 else []

    async def count_of(self, project: str) -> int:
        """Stores of a project that the database has something of."""
        with reached():
            found: int = await self._pool.fetchval(
                "select count(*) from store where project = $1", name_bytes(project)
            )
        return found

    async def erase(self, project: str) -> None:
        """Remove all of a project."""
        with reached():
            async with self._pool.acquire() as connection:
                found = await connection.fetch(_STORES, name_bytes(project))
                for id, name in found:
                    store = name.decode("utf-8", "surrogatepass")
                    # Nobody may be bringing it in, nor build its index.
                    async with alone(connection, project, store, settings=self._settings):
                        await remove(connection, id, long_s=self._settings.build_s)
                await _vacuum(connection)

    async def renew(self, project: str, store: str) -> bool:
        """Remove what has left a store; whether nothing of that is there any more."""
        if self._source is None:
            return False
        with reached():
            async with self._pool.acquire() as connection:
                if await find_store(connection, project, store) is None:
                    return True
        await self._bring_in((project, store))
        state = await self._source.state(project, store)
        with reached():
            async with self._pool.acquire() as connection:
                row = await find_store(connection, project, store)
                found = [] if row is None else await connection.fetch(_DOCUMENTS, row.id)
                await _vacuum(connection)
        return {bytes(name) for (name,) in found} <= {name_bytes(name) for name in state.documents}

    async def probe(self) -> None:
        """Whether the database answers. Raises StoreUnavailable."""
        with reached():
            await self._pool.fetchval("select 1")

    async def _search(self, key: Key, search: Search) -> Sequence[Hit]:
        assert self._source is not None, "nobody has said by `use` what to search"
        for _ in range(ATTEMPTS_MAX):
            generation = await self._source.generation(*key)
            if generation == NO_STORE:
                self.changes.add(key)
                return []
            with reached():
                async with (
                    self._pool.acquire() as connection,
                    # So that what is searched is what was looked at.
                    connection.transaction(isolation="repeatable_read", readonly=True),
                ):
                    row = await find_store(connection, *key)
                    if row is not None and row.generation == generation:
                        return await search(connection, row) if row.chunks else []
            await self._bring_in(key)
        raise StoreUnavailable("pgvector: the store is changed faster than it can be searched")

    async def _bring_in(self, key: Key) -> None:
        rounds = self._rounds.setdefault(key, Rounds())
        await rounds.join(lambda: self._round(key))

    def _alone(self, connection: Any, key: Key) -> Bringing:
        return Bringing(connection, *key, settings=self._settings, log=self._log)

    async def _round(self, key: Key) -> None:
        assert self._source is not None
        with reached():
            async with (
                self._bringing,
                self._pool.acquire() as connection,
                alone(connection, *key, settings=self._settings),
            ):
                row = await self._alone(connection, key).bring_in(self._source)
        if row is not None:
            self.builder.consider(row)


async def _vacuum(connection: Any) -> None:
    for table in ("store", "document", "chunk"):
        await connection.execute(f"vacuum {table}")


def _row(vector: bytes, dimensions: int) -> bytes:
    """A query of length 1. Raises ValueError for what is none."""
    from famulus_indexes.matrix import rows_of

    rows, fits = rows_of([vector], dimensions)
    if not fits.all():
        raise ValueError(
            f"no vector of {dimensions} numbers: one of {len(vector)} bytes, which are not all "
            "finite, or all of them 0"
        )
    found: bytes = rows[0].astype("<f4").tobytes()
    return found


@asynccontextmanager
async def open_vectors(settings: PgvectorSettings, *, log: Log) -> AsyncIterator[PgVectors]:
    """Search stores in the database, until left."""
    async with opened_pool(settings) as pool:
        builder = Builder(settings, log=log)
        vectors = PgVectors(pool, builder, settings, log=log)
        tasks = [
            asyncio.create_task(vectors.changes.run()),
            asyncio.create_task(builder.run()),
        ]
        try:
            yield vectors
        finally:
            for task in tasks:
                task.cancel()
            for task in tasks:
                with suppress(asyncio.CancelledError):
                    await task
