"""Searching by words: what a person would call the same word is, and no query is a command."""

from __future__ import annotations

import pytest
from hypothesis import strategies as st

from famulus.testing.vectors_conformance.opening import VectorsTests, matching
from famulus.testing.vectors_conformance.shelf import Shelf, toward
from famulus.testing.vectors_conformance.trying import tried
from famulus_schemas.retrieval import Vectors

ANY = toward(1, 0, 0)


class MatchingTests(VectorsTests):
    @pytest.mark.parametrize(
        ("text", "query"),
        [
            ("The Contract ends in May", "contract"),
            ("the contract ends in may", "CONTRACT"),
            ("Straße nach Süden", "STRASSE"),
            ("Straße nach Süden", "suden"),
            ("a cafe\u0301 in Paris", "café"),
            ("a café in Paris", "cafe"),
            ("ΑΘΗΝΑ", "αθηνα"),
            ("ЖЁЛТЫЙ ДЯТЕЛ", "желтый"),
            ("one of the invoices", "invoice"),
            ("one invoice", "invoices"),
            ("the boxes are open", "box"),
            ("clause 17.3 applies", "17.3"),
            ("error E-4012 was seen", "E-4012"),
            ("the field user_id is set", "user_id"),
            ("the field user_id is set", "user"),
            ("see https://example.com/path?x=1", "example.com"),
            ("mail to ann@example.org", "ann@example.org"),
            ("don't panic", "don't panic"),
            ("\ufb01nally", "finally"),
            ("\uff34\uff25\uff33\uff34", "test"),
            ("東京都に住んでいます", "東京"),
            ("我喜欢北京烤鸭", "北京"),
            ("나는 서울에 산다", "서울에"),
            ("a word right\x00here", "here"),
        ],
    )
    async def test_a_word_is_found(
        self, vectors: Vectors, shelf: Shelf, text: str, query: str
    ) -> None:
        shelf.put("a", [("something else", ANY), (text, ANY), ("and more", ANY)])
        assert await matching(vectors, query) == [("a", 1)]

    async def test_what_has_none_of_the_words_is_not_found(
        self, vectors: Vectors, shelf: Shelf
    ) -> None:
        shelf.put("a", [("the red door", ANY), ("doorbells ring", ANY), ("京東", ANY)])
        assert await matching(vectors, "window") == []
        assert await matching(vectors, "bell") == []
        assert await matching(vectors, "東京") == []

    async def test_more_of_the_words_are_better(self, vectors: Vectors, shelf: Shelf) -> None:
        shelf.put("a", [("only apples here", ANY), ("apples and pears there", ANY)])
        shelf.put("b", [("nothing of that kind", ANY)])
        assert await matching(vectors, "apples pears") == [("a", 1), ("a", 0)]

    async def test_words_that_stand_together_are_better(
        self, vectors: Vectors, shelf: Shelf
    ) -> None:
        shelf.put(
            "a", [("the door of this house is red", ANY), ("of this house the red door", ANY)]
        )
        assert await matching(vectors, "red door") == [("a", 1), ("a", 0)]
        assert await matching(vectors, '"red door"') == [("a", 1), ("a", 0)]

    async def test_the_limit_keeps_the_best(self, vectors: Vectors, shelf: Shelf) -> None:
        for number in range(20):
            words = "apple " * (number % 5 + 1) + "pear " * (5 - number % 5)
            shelf.put(f"{number}", [(words, ANY)])
        found = await matching(vectors, "apple")
        assert len(found) == 20
        best = await vectors.matching("p", "s", "apple", where=None, limit=4)
        assert {hit.document for hit in best} == {"4", "9", "14", "19"}

    async def test_common_words_alone_are_found_too(self, vectors: Vectors, shelf: Shelf) -> None:
        shelf.put("a", [("to be or not to be", ANY), ("something", ANY)])
        assert await matching(vectors, "to be or not to be") == [("a", 0)]

    @pytest.mark.parametrize("query", ["", " ", "\x00", "...", '"', "***", "-", "()", "\n\t", "€"])
    async def test_a_query_without_a_word_finds_nothing(
        self, vectors: Vectors, shelf: Shelf, query: str
    ) -> None:
        shelf.put("a", [("a text", ANY)])
        assert await matching(vectors, query) == []

    @pytest.mark.parametrize(
        "query",
        [
            'apple"',
            '"apple',
            'apple" OR "pear',
            "apple*",
            "*apple",
            "^apple",
            "apple AND NOT apple",
            "NOT apple",
            "apple NEAR",
            "NEAR(apple, 2)",
            "apple NEAR/2 zebra",
            "-apple",
            "text:apple",
            "- text : apple",
            "{text}: apple",
            "apple:*",
            "apple & !apple",
            "apple | ",
            "apple <-> zebra",
            "(apple",
            "apple)",
            "apple + zebra",
            "apple; drop table words; --",
            "apple' or 1=1 --",
            "apple\\",
            "apple\x00zebra",
            "apple \ud800",
            "apple $1 ? :terms %s {0}",
        ],
    )
    async def test_no_query_is_a_command(self, vectors: Vectors, shelf: Shelf, query: str) -> None:
        shelf.put("a", [("an apple a day", ANY), ("something quite different", ANY)])
        assert await matching(vectors, query) == [("a", 0)]
        assert await matching(vectors, "apple") == [("a", 0)]

    async def test_a_query_may_be_long(self, vectors: Vectors, shelf: Shelf) -> None:
        shelf.put("a", [("an apple a day", ANY), ("something else", ANY)])
        assert await matching(vectors, "apple " * 200_000) == [("a", 0)]
        many = "apple " + " ".join(f"w{number}" for number in range(20_000))
        assert await matching(vectors, many) == [("a", 0)]
        assert await matching(vectors, "apple " + "x" * 1_000_000) == [("a", 0)]
        assert await matching(vectors, 'apple "' * 50_000) == [("a", 0)]

    async def test_any_text_is_kept_and_any_query_answered(
        self, vectors: Vectors, shelf: Shelf
    ) -> None:
        async def compare(number: int, text: str, query: str) -> None:
            store = f"s{number}"
            shelf.put("a", [(text, ANY), (f"{query} {text}", ANY)], store=store)
            found = set(await matching(vectors, query, store=store))
            assert found <= {("a", 0), ("a", 1)}
            if any(each.isascii() and each.isalnum() for each in query):
                assert ("a", 1) in found
            assert set(await matching(vectors, f"{query} {text}", store=store)) >= found

        await tried(compare, st.text(max_size=40), st.text(max_size=40), examples=60)
