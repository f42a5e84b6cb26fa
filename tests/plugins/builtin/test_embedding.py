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


def test_a_text_that_says_a_word_more_often_is_not_much_nearer_to_it() -> None:
    once, often = "A fee is due on arrival.", "A fee, a fee, a fee, a fee is due on arrival."
    assert closeness("fee", once) < closeness("fee", often) < 2.5 * closeness("fee", once)


def test_words_are_found_in_text_without_blanks() -> None:
    hidden = "x" * 300 + "refund" + "y" * 300
    assert closeness("refund", hidden) > closeness("refund", "x" * 300 + "y" * 306)


def test_ligatures_are_the_letters_that_they_stand_for() -> None:
    assert embed("\ufb01nal o\ufb03ce", 64) == embed("final office", 64)


def test_a_text_of_no_words_has_the_first_axis() -> None:
    assert embed(" ... ", 4) == [1.0, 0.0, 0.0, 0.0]


def test_the_vectors_of_version_one_stay_as_they_are() -> None:
    """Stores hold them: where this fails, the model needs the next number in its name."""
    vector = embed("The refund for order 4711 was paid twice, twice in May 2024.", 768)
    told = {place: round(value, 4) for place, value in enumerate(vector) if abs(value) > 0.2}
    assert told == {
        204: -0.3136,
        300: -0.3136,
        305: -0.3136,
        315: 0.3136,
        519: -0.4753,
        668: -0.3136,
    }
    assert sum(value != 0 for value in vector) == 40
