"""The words of a text: the same ones whether they are kept or looked for."""

from __future__ import annotations

import pytest

from famulus_indexes.words import looked_for, spaced


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("", ""),
        ("Hello, World!", "hello world"),
        ("Café CAFE\u0301", "cafe cafe"),
        ("user_id E-4012", "user id e 4012"),
        ("東京に住む", "東 京 に 住 む"),
        ("iPhone東京15", "iphone 東 京 15"),
        ("서울에 산다", "서울에 산다"),
        ("a\x00b \ud800 \u202e", "a b"),
        ("x" * 100, "x" * 64),
    ],
)
def test_a_text_is_kept_as_its_words(text: str, kept: str) -> None:
    assert spaced(text) == kept


@pytest.mark.parametrize(
    ("query", "terms", "phrases"),
    [
        ("red door", [("red",), ("door",)], [("red", "door")]),
        ("red red", [("red",)], [("red", "red")]),
        ('a "b c d" e', [(x,) for x in "abcde"], [("b", "c"), ("c", "d"), ("b", "c", "d")]),
        ("東京 hotel", [("東", "京"), ("hotel",)], [("東", "京", "hotel")]),
        ('"', [], []),
    ],
)
def test_a_query_asks_for_words_and_for_what_stands_together(
    query: str, terms: list[tuple[str, ...]], phrases: list[tuple[str, ...]]
) -> None:
    assert looked_for(query, words_max=64) == (terms, phrases)


def test_a_long_query_asks_for_its_first_words() -> None:
    terms, phrases = looked_for("a b c d", words_max=2)
    assert terms == [("a",), ("b",)]
    assert phrases == [("a", "b")]
