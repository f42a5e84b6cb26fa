"""Texts that share words are close to each other, and nothing more is claimed."""

from __future__ import annotations

from math import sqrt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from famulus_builtin.embedding import embed


def closeness(one: str, other: str) -> float:
    return sum(a * b for a, b in zip(embed(one, 384), embed(other, 384), strict=True))


@given(st.text(max_size=200), st.integers(1, 64))
def test_every_vector_has_length_one(text: str, size: int) -> None:
    vector = embed(text, size)
    assert len(vector) == size
    assert sqrt(sum(value * value for value in vector)) == pytest.approx(1)


def test_equal_texts_have_equal_vectors() -> None:
    assert embed("The same words.", 64) == embed("The same words.", 64)


@pytest.mark.parametrize(
    ("question", "near"),
    [
        ("How long is the refund period?", 0),
        ("refunds", 0),
        ("When do you ship my parcel?", 1),
        ("Is the office closed on holidays?", 2),
    ],
)
def test_a_question_is_nearest_to_the_text_that_shares_its_words(question: str, near: int) -> None:
    texts = [
        "Refunds are possible within a period of 30 days.",
        "Parcels are shipped within two working days.",
        "The office is closed on public holidays.",
    ]
    ranked = sorted(range(3), key=lambda place: -closeness(question, texts[place]))
    assert ranked[0] == near


def test_forms_of_a_word_are_near() -> None:
    assert closeness("refunded orders", "refund of an order") > 0.5
    assert closeness("refunded orders", "sunny weather") < 0.2
