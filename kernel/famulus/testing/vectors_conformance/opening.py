"""How a provider is opened for its tests, and what each of them starts from."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager

import pytest

from famulus.testing.vectors_conformance.shelf import Shelf
from famulus_schemas.retrieval import Hit, Predicate, Vectors

OpenVectors = Callable[[], AbstractAsyncContextManager[Vectors]]
"""Opens a provider that nothing was said to; within one test always on the same place, which was
empty at first."""

ALL = 1_000_000


class VectorsTests:
    """The fixtures of every group of promises."""

    pytestmark = pytest.mark.anyio

    @pytest.fixture
    def open_vectors(self) -> OpenVectors:
        raise NotImplementedError("a subclass says how its provider is opened")

    @pytest.fixture
    def shelf(self) -> Shelf:
        return Shelf()

    @pytest.fixture
    async def vectors(self, open_vectors: OpenVectors, shelf: Shelf) -> AsyncIterator[Vectors]:
        async with open_vectors() as vectors:
            vectors.use(shelf)
            yield vectors


async def nearest(
    vectors: Vectors,
    vector: bytes,
    *,
    project: str = "p",
    store: str = "s",
    where: Predicate | None = None,
    limit: int = ALL,
) -> list[tuple[str, int]]:
    """The chunks that `Vectors.nearest` finds, its scores looked at."""
    hits = await vectors.nearest(project, store, vector, where=where, limit=limit)
    assert all(-1.0 <= hit.score <= 1.0 for hit in hits)
    return ordered(hits, limit)


async def matching(
    vectors: Vectors,
    text: str,
    *,
    project: str = "p",
    store: str = "s",
    where: Predicate | None = None,
    limit: int = ALL,
) -> list[tuple[str, int]]:
    """The chunks that `Vectors.matching` finds."""
    return ordered(await vectors.matching(project, store, text, where=where, limit=limit), limit)


def ordered(hits: Sequence[Hit], limit: int) -> list[tuple[str, int]]:
    """The chunks, once it is sure that they come best first, each once, and not too many."""
    scores = [hit.score for hit in hits]
    assert scores == sorted(scores, reverse=True)
    found = [(hit.document, hit.number) for hit in hits]
    assert len(set(found)) == len(found)
    assert len(found) <= limit
    return found
