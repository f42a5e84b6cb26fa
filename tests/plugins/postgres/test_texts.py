from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from famulus_postgres.texts import VALUE_CHARACTERS_MAX, indexed, is_storable

# Surrogates too: a client can name them in JSON.
texts = st.text(st.characters(), max_size=40) | st.text(
    st.sampled_from(["a", "\x00", "\ud800", "é"]), min_size=200, max_size=300
)


@given(texts)
def test_what_is_indexed_can_always_be_stored(value: str) -> None:
    assert is_storable(indexed(value))
    assert len(indexed(value)) <= VALUE_CHARACTERS_MAX


@given(texts, texts)
def test_two_values_are_indexed_alike_only_if_they_are_equal(one: str, other: str) -> None:
    values = [one, other, indexed(one), indexed(other), indexed(indexed(one))]
    assert len({indexed(value) for value in values}) == len(set(values))


@pytest.mark.parametrize("value", ["", "red", "ü", "x" * VALUE_CHARACTERS_MAX])
def test_ordinary_values_are_indexed_as_they_are(value: str) -> None:
    assert indexed(value) == value
