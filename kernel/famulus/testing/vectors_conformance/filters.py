"""Predicates: they say what is searched, before the limit says how much of it is told."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import strategies as st

from famulus.testing.vectors_conformance.opening import VectorsTests, matching, nearest
from famulus.testing.vectors_conformance.shelf import Shelf, toward
from famulus.testing.vectors_conformance.trying import tried
from famulus_schemas.retrieval import Attributes, Comparison, Group, Predicate, Vectors, holds

KEYS = st.sampled_from(["k", "l", "K", "a.b", "", "k'", 'k"', "ключ", "$1", "k]"])
TEXTS = st.sampled_from(
    [
        "",
        "\0",
        "\1",
        "a\0",
        "a",
        "b",
        "A",
        "aa",
        "1",
        "true",
        "ä",
        "z\u0301",
        "%",
        "'",
        "\U0001f600",
    ]
)
NUMBERS = st.sampled_from([0.0, -0.0, 1.0, -1.0, 1.5, 2.0, 10.0, 1e308, -1e-300, 1_700_000_000.0])
VALUES = TEXTS | NUMBERS | st.booleans()


def comparisons() -> st.SearchStrategy[Comparison]:
    """Any comparison."""
    one = st.builds(
        Comparison,
        op=st.sampled_from(["eq", "ne", "gt", "gte", "lt", "lte"]),
        key=KEYS,
        value=VALUES,
    )
    several = st.builds(
        Comparison,
        op=st.sampled_from(["in", "nin"]),
        key=KEYS,
        value=st.lists(VALUES, max_size=4).map(tuple),
    )
    return one | several


def predicates() -> st.SearchStrategy[Predicate]:
    """Any predicate."""
    return st.recursive(
        comparisons(),
        lambda parts: st.builds(
            Group,
            op=st.sampled_from(["and", "or"]),
            parts=st.lists(parts, max_size=3).map(tuple),
        ),
        max_leaves=6,
    )


ATTRIBUTES: st.SearchStrategy[Attributes] = st.dictionaries(KEYS, VALUES, max_size=4)


class FilterTests(VectorsTests):
    async def test_only_documents_for_which_it_holds_are_found(
        self, vectors: Vectors, shelf: Shelf
    ) -> None:
        async def compare(
            number: int, attributes: list[Attributes], wheres: list[Predicate]
        ) -> None:
            store = f"s{number}"
            for at, each in enumerate(attributes):
                chunks = [("word", toward(at + 1, 1, place)) for place in range(2)]
                shelf.put(f"{at}", chunks, each, store=store)
            for where in wheres:
                hold = {f"{at}" for at, each in enumerate(attributes) if holds(where, each)}
                expected = {(name, place) for name in hold for place in range(2)}
                query = toward(1, 0, 0)
                found = await nearest(vectors, query, where=where, store=store)
                assert set(found) == expected, where
                found = await nearest(vectors, query, where=where, store=store, limit=3)
                assert len(found) == min(3, len(expected))
                assert set(found) <= expected
                found = await matching(vectors, "word", where=where, store=store)
                assert set(found) == expected, where
                found = await matching(vectors, "word", where=where, store=store, limit=3)
                assert len(found) == min(3, len(expected))

        await tried(
            compare,
            st.lists(ATTRIBUTES, min_size=1, max_size=6),
            st.lists(predicates(), min_size=1, max_size=6),
            examples=50,
        )

    @pytest.mark.parametrize("passing", [1, 5, 60, 199, 200])
    async def test_it_is_applied_before_the_limit(
        self, vectors: Vectors, shelf: Shelf, passing: int
    ) -> None:
        # What passes is what fits worst.
        chance = random.Random(passing)
        order = list(range(200))
        chance.shuffle(order)
        for at in order:
            chunk = "apple " * (200 - at), toward(1, at / 100, 0)
            shelf.put(f"{at:03}", [chunk], {"passes": at >= 200 - passing})
        where = Comparison(op="eq", key="passes", value=True)
        expected = [(f"{at:03}", 0) for at in range(200 - passing, 200)]
        assert await nearest(vectors, toward(1, 0, 0), where=where) == expected
        assert await nearest(vectors, toward(1, 0, 0), where=where, limit=3) == expected[:3]
        assert set(await matching(vectors, "apple", where=where)) == set(expected)
        best = await matching(vectors, "apple", where=where, limit=3)
        assert len(best) == min(3, passing)
        assert set(best) <= set(expected)

    async def test_other_attributes_are_seen_at_once(self, vectors: Vectors, shelf: Shelf) -> None:
        where = Comparison(op="eq", key="year", value=2020.0)
        shelf.put("a", [("apple", toward(1, 0, 0))], {"year": 2020.0})
        shelf.put("b", [("apple", toward(1, 0, 0))], {"year": 2021.0})

        async def found() -> list[Any]:
            by_vector = await nearest(vectors, toward(1, 0, 0), where=where)
            assert await matching(vectors, "apple", where=where) == by_vector
            return by_vector

        assert await found() == [("a", 0)]
        shelf.describe("a", {"year": 2021.0})
        assert await found() == []
        shelf.describe("b", {"year": 2020.0})
        assert await found() == [("b", 0)]
        shelf.describe("b", {})
        assert await found() == []
        shelf.describe("b", {"year": True})
        assert await found() == []
