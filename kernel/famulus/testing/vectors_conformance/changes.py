"""Changes of the source: what it lists is found, what it does not list is not, from one to the
next search, and whatever is done meanwhile."""

from __future__ import annotations

import asyncio
import random

import pytest

from famulus.testing.vectors_conformance.nearest import EAST, NORTH, UP
from famulus.testing.vectors_conformance.opening import (
    ALL,
    OpenVectors,
    VectorsTests,
    matching,
    nearest,
)
from famulus.testing.vectors_conformance.shelf import Shelf, toward
from famulus_schemas.retrieval import Vectors


class SourceFailed(Exception):
    """The source could not be read."""


async def both(vectors: Vectors, *, project: str = "p", store: str = "s") -> set[str]:
    """The documents that are found, the same ones by vector as by the word that all have."""
    by_vector = await nearest(vectors, EAST, project=project, store=store)
    by_word = await matching(vectors, "apple", project=project, store=store)
    assert set(by_word) == set(by_vector)
    return {name for name, _ in by_vector}


class ChangeTests(VectorsTests):
    async def test_what_is_added_is_found_at_once(self, vectors: Vectors, shelf: Shelf) -> None:
        for number in range(5):
            shelf.put(f"{number}", [("apple", toward(1, number, 0))] * (number + 1))
            assert await both(vectors) == {f"{each}" for each in range(number + 1)}

    async def test_what_is_removed_is_not_found_any_more(
        self, vectors: Vectors, shelf: Shelf
    ) -> None:
        for number in range(5):
            shelf.put(f"{number}", [("apple", toward(1, number, 0))] * 7)
        for number in range(5):
            assert await both(vectors) == {f"{each}" for each in range(number, 5)}
            shelf.take(f"{number}")
        assert await both(vectors) == set()

    async def test_it_need_not_be_told_of_a_change(self, vectors: Vectors, shelf: Shelf) -> None:
        shelf.put("a", [("apple", EAST)])
        await vectors.changed("p", "s")
        assert await both(vectors) == {"a"}
        shelf.put("b", [("apple", NORTH)])
        assert await both(vectors) == {"a", "b"}
        await vectors.changed("p", "no such store")
        assert await both(vectors, store="no such store") == set()

    async def test_what_has_not_changed_is_not_read_again(
        self, vectors: Vectors, shelf: Shelf
    ) -> None:
        shelf.put("a", [("apple", EAST)])
        assert await both(vectors) == {"a"}
        before = shelf.reads["state"], shelf.reads["entries"]
        assert await both(vectors) == {"a"}
        assert (shelf.reads["state"], shelf.reads["entries"]) == before
        shelf.put("b", [("apple", EAST)])
        assert await both(vectors) == {"a", "b"}
        assert shelf.reads["entries"] == before[1] + 1

    async def test_a_store_that_is_gone_has_nothing_and_may_come_back(
        self, vectors: Vectors, shelf: Shelf
    ) -> None:
        shelf.put("a", [("apple", EAST)])
        assert await both(vectors) == {"a"}
        shelf.drop()
        assert await both(vectors) == set()
        shelf.put("b", [("apple", EAST)])
        assert await both(vectors) == {"b"}

    async def test_a_store_is_one_projects(self, vectors: Vectors, shelf: Shelf) -> None:
        places = [("p", "s"), ("q", "s"), ("p", "t"), ("p\0s", ""), ("", "p\0s"), ("P", "S")]
        for number, (project, store) in enumerate(places):
            shelf.put(f"{number}", [("apple", EAST)], project=project, store=store)
        for number, (project, store) in enumerate(places):
            assert await both(vectors, project=project, store=store) == {f"{number}"}
        shelf.take("0")
        assert await both(vectors) == set()
        assert await both(vectors, project="q") == {"1"}

    @pytest.mark.parametrize("name", ["../x", "a/b", "größe", "x" * 300, "", " ", "'; drop table"])
    async def test_anything_may_be_called_anything(
        self, vectors: Vectors, shelf: Shelf, name: str
    ) -> None:
        shelf.put(name, [("apple", EAST)], project=name, store=name)
        assert await both(vectors, project=name, store=name) == {name}

    async def test_a_store_may_come_to_have_other_dimensions(
        self, vectors: Vectors, shelf: Shelf
    ) -> None:
        shelf.put("a", [("apple", EAST)])
        assert await both(vectors) == {"a"}
        shelf.take("a")
        shelf.dimensions["p", "s"] = 4
        shelf.put("b", [("apple", toward(1, 0, 0, 0))])
        assert await nearest(vectors, toward(1, 0, 0, 0)) == [("b", 0)]
        assert await matching(vectors, "apple") == [("b", 0)]
        with pytest.raises(ValueError, match="no vector of 4 numbers"):
            await nearest(vectors, EAST)

    async def test_a_document_that_goes_while_it_is_read_is_not_found(
        self, vectors: Vectors, shelf: Shelf
    ) -> None:
        async def take(name: str) -> None:
            if "b" in shelf.names():
                shelf.take("b")

        shelf.put("a", [("apple", EAST)])
        shelf.put("b", [("apple", NORTH)] * 10)
        shelf.before_entries = take
        await nearest(vectors, EAST)
        assert await both(vectors) == {"a"}
        shelf.before_entries = None
        shelf.put("b", [("apple", NORTH)] * 10)
        assert len(await nearest(vectors, EAST)) == 11

    async def test_a_source_that_fails_is_told_and_asked_again(
        self, vectors: Vectors, shelf: Shelf
    ) -> None:
        async def fail(name: str) -> None:
            if name == "c":
                raise SourceFailed

        for name in "abcde":
            shelf.put(name, [("apple", EAST)] * 5)
        shelf.before_entries = fail
        with pytest.raises(SourceFailed):
            await nearest(vectors, EAST)
        with pytest.raises(SourceFailed):
            await matching(vectors, "apple")
        shelf.before_entries = None
        assert len(await nearest(vectors, EAST)) == 25
        assert len(await matching(vectors, "apple")) == 25

    async def test_a_search_that_is_cancelled_harms_no_other(
        self, vectors: Vectors, shelf: Shelf
    ) -> None:
        reached, go_on = asyncio.Event(), asyncio.Event()

        async def wait(name: str) -> None:
            if name == "b":
                reached.set()
                await go_on.wait()

        for name in "abc":
            shelf.put(name, [("apple", EAST)] * 5)
        shelf.before_entries = wait
        first = asyncio.create_task(nearest(vectors, EAST))
        await reached.wait()
        second = asyncio.create_task(matching(vectors, "apple"))
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        go_on.set()
        assert len(await second) == 15
        assert len(await nearest(vectors, EAST)) == 15

    async def test_searches_see_what_was_there_when_they_began(
        self, vectors: Vectors, shelf: Shelf
    ) -> None:
        chance = random.Random(5)
        history: list[set[str]] = [set()]

        async def change() -> None:
            for number in range(40):
                if history[-1] and chance.random() < 0.4:
                    shelf.take(chance.choice(sorted(history[-1])))
                else:
                    chunks = [("apple", toward(1, number, place)) for place in range(4)]
                    shelf.put(f"{number}", chunks)
                history.append(shelf.names())
                await asyncio.sleep(0)
                if number % 3 == 0:
                    await vectors.changed("p", "s")
                    await both_ways(len(history) - 1)

        async def both_ways(began: int) -> None:
            for search in (nearest(vectors, EAST), matching(vectors, "apple")):
                found = await search
                meanwhile = history[began:]
                assert {name for name, _ in found} <= set.union(*meanwhile)
                throughout = {
                    (name, place) for name in set.intersection(*meanwhile) for place in range(4)
                }
                assert throughout <= set(found)
                began = len(history) - 1

        async def search() -> None:
            while not changing.done():
                await both_ways(len(history) - 1)

        changing = asyncio.create_task(change())
        await asyncio.gather(changing, *(search() for _ in range(4)))
        assert await both(vectors) == history[-1]

    async def test_many_stores_are_searched_at_once(self, vectors: Vectors, shelf: Shelf) -> None:
        for number in range(30):
            store = f"s{number}"
            shelf.put(f"{number}", [("apple", EAST), ("apple", UP)], store=store)

        async def search(number: int) -> None:
            assert await both(vectors, store=f"s{number % 30}") == {f"{number % 30}"}

        await asyncio.gather(*(search(number) for number in range(90)))

    async def test_after_a_restart_all_is_found_as_it_then_is(
        self, open_vectors: OpenVectors, shelf: Shelf
    ) -> None:
        shelf.put("a", [("apple", EAST)] * 4, {"k": 1.0})
        shelf.put("b", [("apple", NORTH)] * 4)
        async with open_vectors() as vectors:
            vectors.use(shelf)
            assert await both(vectors) == {"a", "b"}
        shelf.take("a")
        shelf.put("c", [("apple", UP)] * 4)
        async with open_vectors() as vectors:
            vectors.use(shelf)
            assert await both(vectors) == {"b", "c"}
            assert len(await nearest(vectors, EAST, limit=ALL)) == 8
        shelf.drop()
        shelf.dimensions["p", "s"] = 2
        shelf.put("d", [("apple", toward(1, 0))])
        async with open_vectors() as vectors:
            vectors.use(shelf)
            assert await nearest(vectors, toward(1, 0)) == [("d", 0)]
            assert await matching(vectors, "apple") == [("d", 0)]
