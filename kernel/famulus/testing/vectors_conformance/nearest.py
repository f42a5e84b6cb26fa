"""Searching by vector: exact in small stores, and scored by cosines."""

from __future__ import annotations

import random
from array import array

import pytest

from famulus.testing.vectors_conformance.opening import OpenVectors, VectorsTests, nearest
from famulus.testing.vectors_conformance.shelf import Shelf, toward
from famulus_schemas.retrieval import Vectors

EAST, NORTH, UP = toward(1, 0, 0), toward(0, 1, 0), toward(0, 0, 1)


def cosine(left: bytes, right: bytes) -> float:
    """The product of two vectors of length 1."""
    return sum(a * b for a, b in zip(array("f", left), array("f", right), strict=True))


def scattered(seed: int, count: int, dimensions: int) -> list[bytes]:
    """Vectors in any directions."""
    chance = random.Random(seed)
    return [toward(*(chance.gauss(0, 1) for _ in range(dimensions))) for _ in range(count)]


class NearestTests(VectorsTests):
    async def test_the_nearest_come_first(self, vectors: Vectors, shelf: Shelf) -> None:
        shelf.put("a", [("one", EAST), ("two", NORTH)])
        shelf.put("b", [("three", toward(1, 1, 0)), ("four", toward(-1, 0, 0))])
        assert await nearest(vectors, EAST) == [("a", 0), ("b", 0), ("a", 1), ("b", 1)]

    async def test_a_score_is_the_cosine(self, vectors: Vectors, shelf: Shelf) -> None:
        shelf.put("a", [("one", EAST), ("two", toward(1, 1, 0)), ("three", toward(-2, 0, 0))])
        hits = await vectors.nearest("p", "s", EAST, where=None, limit=3)
        assert [hit.score for hit in hits] == pytest.approx([1.0, 0.70710678, -1.0], abs=1e-6)

    @pytest.mark.parametrize("dimensions", [1, 2, 7, 64, 1536])
    async def test_a_small_store_is_searched_exactly(
        self, open_vectors: OpenVectors, dimensions: int
    ) -> None:
        shelf = Shelf(dimensions)
        everything = scattered(dimensions, 60, dimensions)
        for number in range(6):
            chunks = everything[number * 10 : number * 10 + 10]
            shelf.put(str(number), [("x", vector) for vector in chunks])
        async with open_vectors() as vectors:
            vectors.use(shelf)
            for query in scattered(99, 5, dimensions):
                hits = await vectors.nearest("p", "s", query, where=None, limit=20)
                best = sorted((cosine(query, vector) for vector in everything), reverse=True)
                assert [hit.score for hit in hits] == pytest.approx(best[:20], abs=1e-5)
                for hit in hits:
                    found = everything[int(hit.document) * 10 + hit.number]
                    assert hit.score == pytest.approx(cosine(query, found), abs=1e-5)

    async def test_an_empty_store_has_nothing(self, vectors: Vectors, shelf: Shelf) -> None:
        assert await nearest(vectors, EAST) == []
        shelf.put("a", [])
        assert await nearest(vectors, EAST) == []

    @pytest.mark.parametrize("limit", [-1, 0])
    async def test_a_limit_of_nothing_gives_nothing(
        self, vectors: Vectors, shelf: Shelf, limit: int
    ) -> None:
        shelf.put("a", [("one", EAST)])
        assert await vectors.nearest("p", "s", EAST, where=None, limit=limit) == []
        assert await vectors.matching("p", "s", "one", where=None, limit=limit) == []

    async def test_a_limit_over_what_there_is_gives_all(
        self, vectors: Vectors, shelf: Shelf
    ) -> None:
        shelf.put("a", [("one", EAST), ("two", NORTH), ("three", UP)])
        for limit in (2, 3, 4, 1000, 2**31, 2**62):
            assert len(await nearest(vectors, EAST, limit=limit)) == min(3, limit)

    async def test_chunks_that_are_alike_are_all_found(
        self, vectors: Vectors, shelf: Shelf
    ) -> None:
        shelf.put("a", [("one", EAST)] * 10)
        shelf.put("b", [("one", EAST)] * 10)
        assert len(await nearest(vectors, EAST)) == 20
        assert len(await nearest(vectors, EAST, limit=5)) == 5

    @pytest.mark.parametrize(
        "wrong", [b"", b"abc", toward(1, 0), toward(1, 0, 0, 0), bytes(12), b"\xff" * 12]
    )
    async def test_what_is_no_vector_of_the_store_is_a_bug(
        self, vectors: Vectors, shelf: Shelf, wrong: bytes
    ) -> None:
        shelf.put("a", [("one", EAST)])
        with pytest.raises(ValueError, match="no vector of 3 numbers"):
            await vectors.nearest("p", "s", wrong, where=None, limit=1)

    async def test_a_chunk_without_a_vector_is_found_by_its_words_only(
        self, vectors: Vectors, shelf: Shelf
    ) -> None:
        unfit = [b"", toward(1, 0), bytes(12), b"\xff" * 12]
        shelf.put("a", [("good", EAST), *(("unfit", vector) for vector in unfit), ("late", UP)])
        assert await nearest(vectors, EAST) == [("a", 0), ("a", 5)]
        hits = await vectors.matching("p", "s", "unfit", where=None, limit=10)
        assert {hit.number for hit in hits} == {1, 2, 3, 4}

    async def test_a_document_may_be_large(self, vectors: Vectors, shelf: Shelf) -> None:
        everything = scattered(1, 1500, 3)
        shelf.put("a", [(f"word{number}", vector) for number, vector in enumerate(everything)])
        for number in (0, 700, 1499):
            assert (await nearest(vectors, everything[number], limit=1)) == [("a", number)]
            hits = await vectors.matching("p", "s", f"word{number}", where=None, limit=2)
            assert [hit.number for hit in hits] == [number]
