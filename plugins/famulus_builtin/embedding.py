"""Embeddings by feature hashing: texts that share words are close. Nothing here knows meaning.

The weights were chosen on the tuning half of `ops/bench/corpus`. Whoever changes what comes out
gives the model that serves it the next number (`backend.LEXICAL`): stores keep their vectors.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterator
from functools import lru_cache
from math import sqrt
from zlib import crc32

from famulus_builtin.words import EMPTY, stem, words

LEXICAL_DIMENSIONS = 768
"""Fewer find less, since words fall on each other; more cost memory and find hardly more."""

_WORD = 1.0
_EMPTY_WORD = 0.15
_TRIGRAM = 0.3
"""Each three letters of a word: what names and forms of words have in common."""
_PAIR = 0.15
"""Two words that carry meaning, one after the other."""
_LETTERS_MAX = 48
"""Longer words are several: what has no blanks (base64, Chinese) would fill the cache."""
_REPEATED = 0.6
"""A word said nine times says less than four times as much: its count to this power."""


def embed(text: str, dimensions: int) -> list[float]:
    """A vector of length one; equal texts have equal vectors, on every machine.

    A text of no words has the first axis.
    """
    vector = [0.0] * dimensions
    for (code, weight), count in _features(text).items():
        value = weight if count == 1 else weight * count**_REPEATED
        # The sign comes from a bit that the place does not use, so that collisions cancel out.
        vector[(code >> 1) % dimensions] += value if code & 1 else -value
    length = sqrt(sum(value * value for value in vector))
    if length == 0:
        vector[0] = length = 1.0
    return [value / length for value in vector]


def _features(text: str) -> Counter[tuple[int, float]]:
    """How often each feature, as its code and weight, is in the text."""
    found: Counter[tuple[int, float]] = Counter()
    last = ""
    said = list(_words(text))
    for word, count in Counter(said).items():
        for feature in _of_word(word):
            found[feature] += count
    for word in said:
        if word not in EMPTY:
            base = stem(word)
            if last:
                found[crc32(f"{last} {base}".encode()), _PAIR] += 1
            last = base
    return found


def _words(text: str) -> Iterator[str]:
    # Ligatures and the like, of which PDFs are full, are the letters that they stand for.
    for word in words(unicodedata.normalize("NFKC", text)):
        for start in range(0, len(word), _LETTERS_MAX):
            yield word[start : start + _LETTERS_MAX]


@lru_cache(maxsize=16_384)
def _of_word(word: str) -> tuple[tuple[int, float], ...]:
    base = stem(word)
    if word in EMPTY:
        return ((crc32(base.encode()), _EMPTY_WORD),)
    padded = f"^{base}$"
    trigrams = (f"~{padded[at : at + 3]}" for at in range(len(padded) - 2))
    return (
        (crc32(base.encode()), _WORD),
        *((crc32(trigram.encode()), _TRIGRAM) for trigram in trigrams),
    )
