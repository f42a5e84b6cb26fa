"""Forms of one word have one stem."""

from __future__ import annotations

import pytest

from famulus_builtin.words import stem, stems, words


@pytest.mark.parametrize(
    "forms",
    [
        ["refund", "refunds", "refunded", "refunding"],
        ["city", "cities"],
        ["book", "booking", "booked", "books"],
        ["price", "prices", "pricing"],
        ["stop", "stopped", "stopping"],
        ["box", "boxes"],
        ["dog", "dog's"],
    ],
)
def test_forms_of_a_word_share_a_stem(forms: list[str]) -> None:
    assert len({stem(form) for form in forms}) == 1


@pytest.mark.parametrize(("one", "other"), [("bus", "bu"), ("this", "thi"), ("glass", "glas")])
def test_words_that_only_look_alike_keep_their_stems(one: str, other: str) -> None:
    assert stem(one) != stem(other)


def test_names_in_snake_and_camel_case_are_several_words() -> None:
    assert words("get_userName") == ["get", "user", "name"]


def test_empty_words_have_no_part_in_meaning() -> None:
    assert stems("What is the price of this?") == [stem("price")]
