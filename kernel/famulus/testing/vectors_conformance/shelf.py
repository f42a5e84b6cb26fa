"""A source of vector stores for tests, in memory: what is put on it is committed at once."""

from __future__ import annotations

import math
from array import array
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence

from famulus_schemas.retrieval import Attributes, Entry, StoreState

Key = tuple[str, str]
BATCH = 3
"""Chunks that are read at once: few, so that documents come in several batches."""


def toward(*numbers: float) -> bytes:
    """A vector of length 1 in this direction."""
    length = math.sqrt(math.fsum(number * number for number in numbers))
    return array("f", [number / length for number in numbers]).tobytes()


class Shelf:
    """Stores with documents. A name that was taken away does not come back with other chunks."""

    def __init__(self, dimensions: int = 3) -> None:
        self.dimensions: dict[Key, int] = {}
        self.usual_dimensions = dimensions
        self.reads: Counter[str] = Counter()
        """How often anything was asked for."""
        self.before_entries: Callable[[str], Awaitable[None]] | None = None
        """Awaited before a document's chunks are read."""
        self._generations: dict[Key, int] = {}
        self._attributes: dict[Key, dict[str, Attributes]] = {}
        self._chunks: dict[tuple[str, str, str], list[Entry]] = {}

    def put(
        self,
        name: str,
        chunks: Sequence[tuple[str, bytes]],
        attributes: Attributes | None = None,
        *,
        project: str = "p",
        store: str = "s",
    ) -> None:
        """Add a document, each chunk a text and a vector."""
        self._chunks[project, store, name] = [
            Entry(number=number, text=text, vector=vector)
            for number, (text, vector) in enumerate(chunks)
        ]
        self._attributes.setdefault((project, store), {})[name] = dict(attributes or {})
        self._moved((project, store))

    def describe(
        self, name: str, attributes: Attributes, *, project: str = "p", store: str = "s"
    ) -> None:
        """Give a document other attributes."""
        self._attributes[project, store][name] = dict(attributes)
        self._moved((project, store))

    def take(self, name: str, *, project: str = "p", store: str = "s") -> None:
        """Remove a document."""
        del self._attributes[project, store][name]
        del self._chunks[project, store, name]
        self._moved((project, store))

    def drop(self, *, project: str = "p", store: str = "s") -> None:
        """Remove a store."""
        for name in list(self._attributes[project, store]):
            self.take(name, project=project, store=store)
        del self._attributes[project, store]

    def names(self, *, project: str = "p", store: str = "s") -> set[str]:
        """The documents that a store has."""
        return set(self._attributes.get((project, store), {}))

    def _moved(self, key: Key) -> None:
        self._generations[key] = self._generations.get(key, 0) + 1

    # -- what an index reads ----------------------------------------------------------------------

    async def generation(self, project: str, store: str) -> int:
        """As VectorSource.generation."""
        self.reads["generation"] += 1
        key = project, store
        return self._generations[key] if key in self._attributes else -1

    async def state(self, project: str, store: str) -> StoreState:
        """As VectorSource.state."""
        self.reads["state"] += 1
        key = project, store
        documents: Mapping[str, Attributes] = dict(self._attributes.get(key, {}))
        return StoreState(
            generation=self._generations[key] if key in self._attributes else -1,
            dimensions=self.dimensions.get(key, self.usual_dimensions),
            documents=documents,
        )

    async def entries(
        self, project: str, store: str, document: str
    ) -> AsyncIterator[Sequence[Entry]]:
        """As VectorSource.entries."""
        self.reads["entries"] += 1
        if self.before_entries is not None:
            await self.before_entries(document)
        at = 0
        while batch := self._chunks.get((project, store, document), [])[at : at + BATCH]:
            yield batch
            at += len(batch)
