"""What a key looks like, and how a likeness is told from one."""

from __future__ import annotations

import string

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from famulus_keys.tokens import LENGTH, RANDOM_BYTES, is_well_formed, make_token, masked

RANDOM = st.binary(min_size=RANDOM_BYTES, max_size=RANDOM_BYTES)


@given(RANDOM)
def test_every_key_is_well_formed(random: bytes) -> None:
    token = make_token(random)
    assert is_well_formed(token)
    assert len(token) == LENGTH
    assert token.startswith("sk-fam-")
    assert set(token[7:]) <= set(string.ascii_letters + string.digits)


@given(RANDOM, RANDOM)
def test_different_random_bytes_make_different_keys(one: bytes, two: bytes) -> None:
    assert (make_token(one) == make_token(two)) == (one == two)


@given(RANDOM, st.integers(0, LENGTH - 1), st.characters())
def test_one_wrong_character_makes_a_key_ill_formed(random: bytes, at: int, wrong: str) -> None:
    token = make_token(random)
    assume(token[at] != wrong)
    assert not is_well_formed(token[:at] + wrong + token[at + 1 :])


@given(st.text(max_size=60))
def test_any_text_is_judged_without_error(text: str) -> None:
    assert not is_well_formed(text)


@pytest.mark.parametrize("cut", [slice(0, -1), slice(1, None), slice(0, 7), slice(0, 0)])
def test_part_of_a_key_is_no_key(cut: slice) -> None:
    token = make_token(bytes(RANDOM_BYTES))
    assert not is_well_formed(token[cut])
    assert not is_well_formed(token + "0")


@given(st.text(max_size=80))
def test_a_shown_key_gives_little_away(token: str) -> None:
    shown = masked(token)
    assert "***" in shown
    left = shown.replace("***", "", 1)
    assert len(left) <= 7
    assert len(token) - len(left) >= min(len(token), 9)


def test_a_shown_key_can_be_recognised_by_its_owner() -> None:
    assert masked("sk-abcdefghijklmnopqrstuvwxyz") == "sk-ab***yz"
