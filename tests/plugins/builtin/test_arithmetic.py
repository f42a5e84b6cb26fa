"""Sums are worked out exactly, and what is no sum is left alone."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from famulus_builtin.arithmetic import answer, sum_in


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("What is 12 * 7?", "12 * 7 = 84"),
        ("12*7", "12*7 = 84"),
        ("what's 15% of 80?", "15% of 80 = 12"),
        ("How much is 3 plus 4", "3 plus 4 = 7"),
        ("Please calculate (3+4)*2^3", "(3+4)*2^3 = 56"),
        ("1/3", "1/3 is about 0.3333333333"),
        ("What is 10 divided by 4?", "10 divided by 4 = 2.5"),
        ("-3 + 5", "-3 + 5 = 2"),
        ("what is 9 squared?", "9 squared = 81"),
        ("Compute 1,000 x 3", "1,000 x 3 = 3000"),
        ("0.1+0.2", "0.1+0.2 = 0.3"),
        ("2 + 2 = ?", "2 + 2 = 4"),
        ("What does 2+2 equal?", "2+2 = 4"),
        ("7 mod 3", "7 mod 3 = 1"),
        ("2^3^2", "2^3^2 = 512"),
        ("(-2)^3", "(-2)^3 = -8"),
        ("50% + 1", "50% + 1 = 1.5"),
        ("5 / 0", "5 / 0 has no answer: it divides by zero."),
        ("2^100", "I cannot work out 2^100: only whole exponents up to 64 are worked out."),
        ("99^60", "I cannot work out 99^60: the numbers get longer than 60 digits."),
    ],
)
def test_a_sum_is_answered(text: str, said: str) -> None:
    assert answer(text) == said


@pytest.mark.parametrize(
    "text",
    [
        "What is 5?",
        "2026-05-12",
        "12/05/2026",
        "call 555-1234",
        "1 +",
        "((((",
        "3.5.2+1",
        "What is love?",
        "I have 2 cats and 3 dogs",
        "1+1;import os",
        "",
    ],
)
def test_what_is_no_sum_is_left_alone(text: str) -> None:
    assert answer(text) is None
    assert sum_in("Hello") is None


def test_deep_nesting_is_refused_and_not_a_crash() -> None:
    assert "nested more than 32 deep" in (answer("(" * 90 + "1+1" + ")" * 90) or "")


def test_a_text_beyond_the_limit_is_no_sum() -> None:
    assert answer("1+" * 200 + "1") is None


NUMBERS = st.integers(0, 999)
SUMS = st.recursive(
    NUMBERS.map(lambda value: (str(value), Fraction(value))),
    lambda inner: st.tuples(inner, st.sampled_from("+-*"), inner).map(
        lambda parts: (
            f"({parts[0][0]} {parts[1]} {parts[2][0]})",
            {
                "+": parts[0][1] + parts[2][1],
                "-": parts[0][1] - parts[2][1],
                "*": parts[0][1] * parts[2][1],
            }[parts[1]],
        )
    ),
    max_leaves=8,
)


@given(NUMBERS, SUMS)
def test_sums_of_any_form_are_right(first: int, rest: tuple[str, Fraction]) -> None:
    text, value = rest
    assert answer(f"What is {first} + {text}?") == f"{first} + {text} = {first + value}"
