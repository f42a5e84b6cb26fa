"""Stores that are large enough for an index where little is, for all who build some."""

from __future__ import annotations

import numpy as np

from famulus.testing.vectors_conformance import Shelf, toward

DIMENSIONS = 16
QUERY = toward(*range(1, DIMENSIONS + 1))


def clustered(seed: int, count: int) -> list[bytes]:
    """Vectors that lie in heaps, as those of texts do."""
    chance = np.random.default_rng(seed)
    centres = chance.normal(size=(20, DIMENSIONS))
    rows = centres[chance.integers(0, 20, count)] + 0.3 * chance.normal(size=(count, DIMENSIONS))
    return [toward(*row) for row in rows.tolist()]


def add(shelf: Shelf, number: int, chunks: int = 20) -> None:
    """Put one more document on the shelf."""
    vectors = clustered(number, chunks)
    shelf.put(f"{number}", [("x", vector) for vector in vectors], {"tenth": number % 10 == 0})


def filled(documents: int = 30, chunks: int = 20) -> Shelf:
    """A shelf with one store."""
    shelf = Shelf(DIMENSIONS)
    for number in range(documents):
        add(shelf, number, chunks)
    return shelf
