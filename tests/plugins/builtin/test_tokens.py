"""Tokens are counted and cut by one rule, and words joined are the text again."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from famulus_builtin import tokens


@pytest.mark.parametrize(
    ("text", "count"),
    [("", 0), ("Hello", 1), ("Hello there", 2), ("internationally", 3), ("1234", 2), ("a, b!", 4)],
)
def test_tokens_are_pieces_of_words_numbers_and_signs(text: str, count: int) -> None:
    assert tokens.count(text) == count


@given(st.text(), st.integers(0, 40))
def test_a_cut_text_is_a_beginning_of_that_many_tokens(text: str, most: int) -> None:
    cut = tokens.cut(text, most)
    assert text.startswith(cut)
    assert tokens.count(cut) == min(most, tokens.count(text))


@given(st.text())
def test_all_tokens_are_all_of_the_text(text: str) -> None:
    assert tokens.cut(text, tokens.count(text)) == text


@given(st.text())
def test_words_joined_are_the_text(text: str) -> None:
    assert "".join(tokens.in_words(text)) == text


def test_a_long_blank_is_not_one_token() -> None:
    assert tokens.count(" " * 1600) == 100
