"""Vectors as bytes: float32, little-endian, of length 1."""

from __future__ import annotations

import math
import sys
from array import array
from collections.abc import Sequence

NUMBER_BYTES = 4
LENGTH_TOLERANCE = 1e-6


class BadVectors(ValueError):
    """What a model answered are no vectors to go by; says why."""


def packed(vectors: Sequence[Sequence[float]]) -> list[bytes]:
    """Each vector, brought to length 1. Raises BadVectors; all must be of one size."""
    sizes = {len(vector) for vector in vectors}
    if len(sizes) > 1 or 0 in sizes:
        raise BadVectors(f"it answered with vectors of {sorted(sizes)} numbers")
    return [_bytes(vector) for vector in vectors]


def no_direction(dimensions: int) -> bytes:
    """What stands for a text that says nothing: the first axis."""
    return _bytes([1.0, *[0.0] * (dimensions - 1)])


def _bytes(vector: Sequence[float]) -> bytes:
    length = math.hypot(*vector)
    if not math.isfinite(length):
        raise BadVectors("it answered with numbers that are none")
    if length == 0.0:
        return no_direction(len(vector))
    if abs(length - 1.0) > LENGTH_TOLERANCE:
        vector = [value / length for value in vector]
    numbers = array("f", vector)
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers.tobytes()
