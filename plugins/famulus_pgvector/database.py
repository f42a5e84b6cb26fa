"""What is kept of stores in the database: brought in by one process at a time, for all."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final, NamedTuple

from famulus.log import Log
from famulus_indexes.words import spaced
from famulus_pgvector.predicates import kept
from famulus_pgvector.sessions import lock_number
from famulus_pgvector.settings import PgvectorSettings
from famulus_schemas.retrieval import Attributes, Entry, StoreState, VectorSource

WRITTEN_ENTRIES: Final = 256
TEXT_CHARACTERS_MAX: Final = 200_000
"""More words PostgreSQL may not be able to keep of one chunk."""
NO_STORE: Final = -1

_KNOWN: Final = "select id, name from document where store = $1 and is_listed"
_ADD_CHUNKS: Final = """
insert into chunk (document, number, store, embedding, words)
select $1, number, $2::bigint, embedding,
    to_tsvector('words', text) || array_to_tsvector(array['#' || $2::bigint])
from unnest($3::bigint[], $4::vector[], $5::text[]) as entry (number, embedding, text)
"""
_LIST: Final = """
update document d set is_listed = true, attributes = listed.attributes::jsonb
from unnest($2::bytea[], $3::text[]) as listed (name, attributes)
where d.store = $1 and d.name = listed.name
    and (not d.is_listed or d.attributes is distinct from listed.attributes::jsonb)
"""
_SHOW: Final = """
update store set generation = $2, chunks = (
    select coalesce(sum(chunks), 0) from document where store = $1 and is_listed
) where id = $1 returning chunks
"""


class StoreRow(NamedTuple):
    """What the database has of a store."""

    id: int
    generation: int | None
    dimensions: int
    chunks: int


def name_bytes(name: str) -> bytes:
    """A name as it is kept: it may hold any character."""
    return name.encode("utf-8", "surrogatepass")


async def find_store(connection: Any, project: str, store: str) -> StoreRow | None:
    """The store's row, if there is one."""
    row = await connection.fetchrow(
        "select id, generation, dimensions, chunks from store where project = $1 and name = $2",
        name_bytes(project),
        name_bytes(store),
    )
    return None if row is None else StoreRow(*row)


@asynccontextmanager
async def alone(
    connection: Any, project: str, store: str, *, settings: PgvectorSettings
) -> AsyncIterator[None]:
    """Wait until no other process brings the store in, and keep it so until left."""
    number = lock_number(settings.schema, "store", project, store)
    await connection.execute("select pg_advisory_lock($1)", number, timeout=settings.build_s)
    try:
        yield
    finally:
        # A connection that is gone has let go of it.
        if not connection.is_closed():
            await connection.execute("select pg_advisory_unlock($1)", number)


async def remove(connection: Any, id: int, *, long_s: float) -> None:
    """Remove a store and all that is its; alone at it."""
    # Concurrently, as no search of another store must wait for it.
    await connection.execute(f"drop index concurrently if exists chunk_near_{id:d}", timeout=long_s)
    await connection.execute("delete from store where id = $1", id, timeout=long_s)


class Bringing:
    """Brings one store in. Made for one round, on one connection, alone at it."""

    def __init__(
        self, connection: Any, project: str, store: str, *, settings: PgvectorSettings, log: Log
    ) -> None:
        self._connection = connection
        self._project = project
        self._store = store
        self._long_s = settings.build_s
        """What removes may remove all that there is."""
        self._log = log

    async def bring_in(self, source: VectorSource) -> StoreRow | None:
        """Have everything that the source lists; the store, unless there is none any more."""
        state = await source.state(self._project, self._store)
        row = await find_store(self._connection, self._project, self._store)
        if row is not None and (
            state.generation == NO_STORE or (state.documents and row.dimensions != state.dimensions)
        ):
            await remove(self._connection, row.id, long_s=self._long_s)
            row = None
        if state.generation == NO_STORE:
            return None
        id = await self._begun(state) if row is None else row.id
        await self._connection.execute(
            "delete from document where store = $1 and not is_listed", id, timeout=self._long_s
        )
        found = await self._connection.fetch(_KNOWN, id)
        known = {bytes(name): number for number, name in found}
        wanted = {name_bytes(name): name for name in state.documents}
        gone = [number for name, number in known.items() if name not in wanted]
        shown: dict[str, Attributes] = {}
        for name, text in wanted.items():
            if name in known or await self._add(source, state, id, text):
                shown[text] = state.documents[text]
        chunks = await self._show(id, state.generation, gone, shown)
        dimensions = state.dimensions if row is None else row.dimensions
        return StoreRow(id, state.generation, dimensions, chunks)

    async def _begun(self, state: StoreState) -> int:
        id: int = await self._connection.fetchval(
            "insert into store (project, name, dimensions) values ($1, $2, $3) returning id",
            name_bytes(self._project),
            name_bytes(self._store),
            state.dimensions,
        )
        return id

    async def _add(self, source: VectorSource, state: StoreState, store: int, name: str) -> bool:
        """Add a document that nobody finds yet; False where it may only be gone for now."""
        document = await self._connection.fetchval(
            "insert into document (store, name) values ($1, $2) returning id",
            store,
            name_bytes(name),
        )
        count = 0
        waiting: list[Entry] = []
        async for entries in source.entries(self._project, self._store, name):
            waiting += entries
            count += len(entries)
            if len(waiting) >= WRITTEN_ENTRIES:
                await self._write(document, store, state.dimensions, waiting)
                waiting = []
        await self._write(document, store, state.dimensions, waiting)
        await self._connection.execute(
            "update document set chunks = $2 where id = $1", document, count
        )
        # One without chunks may only be gone, and come back.
        generation = await source.generation(self._project, self._store) if not count else None
        return bool(count) or generation == state.generation

    async def _write(
        self, document: int, store: int, dimensions: int, entries: Sequence[Entry]
    ) -> None:
        from famulus_indexes.matrix import rows_of

        if not entries:
            return
        rows, fits = rows_of([entry.vector for entry in entries], dimensions)
        able = iter(rows)
        vectors = [next(able).astype("<f4").tobytes() if fit else None for fit in fits]
        if wrong := vectors.count(None) - sum(not entry.vector for entry in entries):
            self._log.warning("vectors_left_out", chunks=wrong, dimensions=dimensions)
        await self._connection.execute(
            _ADD_CHUNKS,
            document,
            store,
            [entry.number for entry in entries],
            vectors,
            [spaced(entry.text)[:TEXT_CHARACTERS_MAX] for entry in entries],
        )

    async def _show(
        self, id: int, generation: int, gone: Sequence[int], shown: Mapping[str, Attributes]
    ) -> int:
        names = [name_bytes(name) for name in shown]
        attributes = [kept(each) for each in shown.values()]
        async with self._connection.transaction():
            await self._connection.execute(
                "delete from document where id = any ($1)", gone, timeout=self._long_s
            )
            await self._connection.execute(_LIST, id, names, attributes)
            chunks: int = await self._connection.fetchval(_SHOW, id, generation)
        return chunks
