"""What indexes are made from: the stores as their records have them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from famulus_schemas.records import RecordStore, UnknownCursor
from famulus_schemas.retrieval import Attributes, Entry, StoreState
from famulus_vector_stores.chunks import Chunks
from famulus_vector_stores.kinds import (
    decode_file,
    decode_file_extra,
    decode_store,
    decode_store_extra,
)

FILES_AT_ONCE = 1000
READ_ATTEMPTS_MAX = 5
"""A store may change while its files are read; what is read last is brought in next time."""
NO_STORE = -1


class StoreSource:
    """The VectorSource of all stores."""

    def __init__(self, records: RecordStore, chunks: Chunks) -> None:
        self._records = records
        self._chunks = chunks

    async def generation(self, project: str, store: str) -> int:
        """As VectorSource.generation."""
        record = await self._records.of(project).get("vector_store", store)
        return NO_STORE if record is None else decode_store_extra(record.extra).generation

    async def state(self, project: str, store: str) -> StoreState:
        """As VectorSource.state."""
        records = self._records.of(project)
        for attempt in range(READ_ATTEMPTS_MAX):
            record = await records.get("vector_store", store)
            if record is None:
                return StoreState(generation=NO_STORE, dimensions=0, documents={})
            extra = decode_store_extra(record.extra)
            documents: dict[str, Attributes] = {}
            if decode_store(record.body).status != "expired":
                documents = await self._documents(project, store)
            is_last = attempt + 1 == READ_ATTEMPTS_MAX
            if is_last or await self.generation(project, store) == extra.generation:
                return StoreState(
                    generation=extra.generation,
                    dimensions=extra.dimensions,
                    documents=documents,
                )
        raise AssertionError("the last attempt returns")

    async def _documents(self, project: str, store: str) -> dict[str, Attributes]:
        found: dict[str, Attributes] = {}
        after: str | None = None
        while True:
            try:
                page = await self._records.of(project).page(
                    "vector_store_file",
                    store,
                    where={"status": "completed"},
                    order="asc",
                    after=after,
                    limit=FILES_AT_ONCE,
                )
            except UnknownCursor:
                # The store was deleted meanwhile.
                return {}
            for record in page.records:
                file = decode_file(record.body)
                found[decode_file_extra(record.extra).document] = file.attributes or {}
            if not page.has_more:
                return found
            after = page.records[-1].id

    async def entries(
        self, project: str, store: str, document: str
    ) -> AsyncIterator[Sequence[Entry]]:
        """As VectorSource.entries."""
        async for bundle in self._chunks.bundles(project, document):
            yield [
                Entry(number=bundle.first + at, text=chunk.text, vector=chunk.vector)
                for at, chunk in enumerate(bundle.chunks)
            ]
