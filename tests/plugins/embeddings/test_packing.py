"""Vectors as bytes, and texts as batches."""

from __future__ import annotations

import math
import struct
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from famulus_embeddings.batches import in_batches
from famulus_embeddings.packing import BadVectors, no_direction, packed

NUMBERS = st.floats(allow_nan=False, allow_infinity=False)


def unpacked(vector: bytes) -> tuple[float, ...]:
    return struct.unpack(f"<{len(vector) // 4}f", vector)


@given(st.lists(NUMBERS, min_size=1, max_size=40))
def test_every_vector_comes_out_of_length_one(vector: list[float]) -> None:
    try:
        [made] = packed([vector])
    except BadVectors:
        assert not math.isfinite(math.hypot(*vector))
        return
    assert math.hypot(*unpacked(made)) == pytest.approx(1, abs=1e-6)


def test_the_bytes_are_float32_and_little_endian() -> None:
    assert packed([[0.0, 3.0, 4.0]]) == [struct.pack("<3f", 0.0, 0.6, 0.8)]


def test_zeros_stand_for_nothing_and_have_the_first_axis() -> None:
    assert packed([[0.0, 0.0]]) == [no_direction(2)] == [struct.pack("<2f", 1.0, 0.0)]


@pytest.mark.parametrize(
    "vectors",
    [[[1.0], [1.0, 0.0]], [[]], [[math.nan, 1.0]], [[math.inf, 1.0]], [[1.0], []]],
    ids=["of several sizes", "empty", "nan", "infinite", "one is empty"],
)
def test_what_are_no_vectors_is_refused(vectors: list[list[float]]) -> None:
    with pytest.raises(BadVectors, match="it answered with"):
        packed(vectors)


@given(st.lists(st.text(max_size=12), max_size=30), st.integers(1, 5), st.integers(1, 30))
def test_batches_hold_all_texts_in_order_within_their_limits(
    texts: list[str], texts_max: int, characters_max: int
) -> None:
    batches = list(in_batches(texts, texts_max=texts_max, characters_max=characters_max))
    assert [text for batch in batches for text in batch] == texts
    for batch in batches:
        assert 1 <= len(batch) <= texts_max
        assert len(batch) == 1 or sum(map(len, batch)) <= characters_max
    for one, next_one in pairwise(batches):
        fits = sum(map(len, one)) + len(next_one[0]) <= characters_max
        assert len(one) == texts_max or not fits, "a batch is cut only where it must be"
