"""Embeddings by feature hashing: texts that share words are close. Nothing here knows meaning."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from math import sqrt
from zlib import crc32

from famulus_builtin.words import EMPTY, stem, words

LEXICAL_DIMENSIONS = 512

_EMPTY_WORD_WEIGHT = 0.15
_PAIR_WEIGHT = 0.4
_TRIGRAM_WEIGHT = 0.2


def embed(text: str, dimensions: int) -> list[float]:
    """A vector of length one; equal texts have equal vectors."""
    vector = [0.0] * dimensions
    for feature, weight in _weights(text).items():
        code = crc32(feature.encode())
        # The sign comes from a bit that the place does not use, so that collisions cancel out.
        vector[(code >> 1) % dimensions] += weight if code & 1 else -weight
    length = sqrt(sum(value * value for value in vector))
    if length == 0:
        vector[0] = length = 1.0
    return [value / length for value in vector]


def _weights(text: str) -> dict[str, float]:
    counts: Counter[str] = Counter()
    weight_of: dict[str, float] = {}
    for feature, weight in _features(text):
        counts[feature] += 1
        weight_of[feature] = weight
    # A word said nine times says three times as much, not nine times.
    return {feature: weight_of[feature] * sqrt(count) for feature, count in counts.items()}


def _features(text: str) -> Iterator[tuple[str, float]]:
    last = ""
    for word in words(text):
        base = stem(word)
        if word in EMPTY:
            yield base, _EMPTY_WORD_WEIGHT
            continue
        yield base, 1.0
        if last:
            yield f"{last} {base}", _PAIR_WEIGHT
        padded = f"^{base}$"
        for at in range(len(padded) - 2):
            yield f"~{padded[at : at + 3]}", _TRIGRAM_WEIGHT
        last = base
