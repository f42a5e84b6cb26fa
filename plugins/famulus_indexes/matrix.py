"""The vectors of a store in memory, and exact search in them."""

from __future__ import annotations

from functools import cached_property
from typing import Final, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from famulus_indexes.filtering import Flags

Vectors: TypeAlias = NDArray[np.float32]
Numbers: TypeAlias = NDArray[np.int64]

ROWS_MIN: Final = 256
GATHERED_BYTES: Final = 8_388_608
"""Rows that pass a filter are copied together so much at a time: more leaves the caches."""
GATHER_BELOW: Final = 0.3
"""Where more of the rows pass, it is quicker to score all of them."""


class Found(NamedTuple):
    """Chunks, best first: their documents' numbers, their places there, and their scores."""

    documents: NDArray[np.int64]
    numbers: NDArray[np.int64]
    scores: Vectors

    def joined(self, other: Found) -> Found:
        """These and others."""
        return Found(
            np.concatenate([self.documents, other.documents]),
            np.concatenate([self.numbers, other.numbers]),
            np.concatenate([self.scores, other.scores]),
        )

    def best(self, limit: int) -> Found:
        """The best of these, which may be in any order."""
        if limit < len(self.scores):
            at = np.argpartition(self.scores, len(self.scores) - limit)[-limit:]
        else:
            at = np.arange(len(self.scores))
        # Of those that are as good, the one that came first.
        at = at[np.lexsort((at, -self.scores[at]))]
        return Found(self.documents[at], self.numbers[at], self.scores[at])


class Rows:
    """The rows as they are at one moment; later changes are not seen through it."""

    def __init__(
        self, vectors: Vectors, documents: NDArray[np.int64], numbers: Numbers, removed: int
    ) -> None:
        self.vectors = vectors
        self.documents = documents
        """The number of each row's document; -1 where that was removed."""
        self.numbers = numbers
        """The place of each row's chunk in its document."""
        self.removed = removed

    @cached_property
    def spans(self) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """Where rows of one document follow each other: whose, from where, and how many."""
        starts = np.flatnonzero(np.diff(self.documents, prepend=-2))
        lengths = np.diff(starts, append=len(self.documents))
        return self.documents[starts], starts, lengths

    @property
    def there(self) -> int:
        """How many rows are of documents that are there."""
        return len(self.documents) - self.removed

    def nearest(self, query: Vectors, passing: Flags | None, limit: int) -> Found:
        """The rows with the greatest products, of documents that pass."""
        if passing is None and not self.removed:
            found = Found(self.documents, self.numbers, products(self.vectors, query))
        else:
            found = self.scored(self.passing(passing), query)
        return found.best(limit)

    def passing(self, passing: Flags | None) -> NDArray[np.int64]:
        """The rows of documents that pass, or of all that are there."""
        if passing is None:
            return np.flatnonzero(self.documents >= 0)
        documents, starts, lengths = self.spans
        kept = np.flatnonzero(passing[documents])
        starts, lengths = starts[kept], lengths[kept]
        # Each span's rows are counted on from its start.
        ends = np.cumsum(lengths)
        return np.arange(ends[-1] if len(ends) else 0) + np.repeat(starts - ends + lengths, lengths)

    def scored(self, rows: NDArray[np.int64], query: Vectors) -> Found:
        """Some rows with their products, in the order in which they are named."""
        if len(rows) > GATHER_BELOW * len(self.vectors):
            scores = products(self.vectors, query)[rows]
        else:
            scores = np.empty(len(rows), np.float32)
            step = max(1, GATHERED_BYTES // (4 * max(1, len(query))))
            for at in range(0, len(rows), step):
                scores[at : at + step] = products(self.vectors[rows[at : at + step]], query)
        return Found(self.documents[rows], self.numbers[rows], scores)


class Matrix:
    """Rows that can be added and removed. Not for several threads at once; its views are."""

    def __init__(self, dimensions: int) -> None:
        self.dimensions = dimensions
        self._vectors: Vectors = np.empty((0, dimensions), np.float32)
        self._documents = np.empty(0, np.int64)
        self._numbers: Numbers = np.empty(0, np.int64)
        self._size = 0
        self._removed = 0

    @property
    def size_bytes(self) -> int:
        """What the matrix takes of memory."""
        return self._vectors.nbytes + self._documents.nbytes + self._numbers.nbytes

    def add(self, document: int, numbers: Numbers, vectors: Vectors) -> None:
        """Add a document's chunks, whose vectors have the length 1."""
        end = self._size + len(numbers)
        if end > len(self._documents):
            self._grow(end)
        # Views that were given out end before these rows.
        self._vectors[self._size : end] = vectors
        self._documents[self._size : end] = document
        self._numbers[self._size : end] = numbers
        self._size = end

    def remove(self, documents: set[int]) -> None:
        """Remove the rows of documents."""
        gone = np.isin(self._documents[: self._size], np.fromiter(documents, np.int64))
        if not gone.any():
            return
        # Copied: a view that was given out has them still.
        self._documents = np.where(gone, -1, self._documents[: self._size])
        self._removed += int(gone.sum())
        self._move(self._size)
        if self._removed > self._size // 2:
            self._compact()

    def view(self) -> Rows:
        """The rows as they are now."""
        return Rows(
            self._vectors[: self._size],
            self._documents[: self._size],
            self._numbers[: self._size],
            self._removed,
        )

    def _grow(self, size: int) -> None:
        self._move(max(ROWS_MIN, size, len(self._documents) * 3 // 2))

    def _move(self, capacity: int) -> None:
        vectors = self._vectors
        if len(vectors) < capacity:
            vectors = np.empty((capacity, self.dimensions), np.float32)
            vectors[: self._size] = self._vectors[: self._size]
        documents = np.full(len(vectors), -1, np.int64)
        documents[: self._size] = self._documents[: self._size]
        numbers = np.zeros(len(vectors), np.int64)
        numbers[: self._size] = self._numbers[: self._size]
        self._vectors, self._documents, self._numbers = vectors, documents, numbers

    def _compact(self) -> None:
        kept = np.flatnonzero(self._documents[: self._size] >= 0)
        self._vectors = self._vectors[kept]
        self._documents = self._documents[kept]
        self._numbers = self._numbers[kept]
        self._size, self._removed = len(kept), 0


def products(vectors: Vectors, query: Vectors) -> Vectors:
    """The product of each row with a vector.

    By one thread, and no slower for it, as what takes the time is to read the rows. Of those that
    a product of matrices would start some wait for others, which on a busy machine takes 100
    times as long.
    """
    found: Vectors = np.vecdot(vectors, query)
    return found


def rows_of(vectors: list[bytes], dimensions: int) -> tuple[Vectors, NDArray[np.bool_]]:
    """Vectors as rows of length 1, and which of them are vectors of so many numbers at all."""
    whole = 4 * dimensions
    fits = np.array([len(vector) == whole for vector in vectors], np.bool_)
    joined = b"".join(vector for vector in vectors if len(vector) == whole)
    rows = np.frombuffer(joined, "<f4").reshape(-1, dimensions).astype(np.float32)
    with np.errstate(over="ignore", invalid="ignore"):
        lengths = np.sqrt(np.einsum("ij,ij->i", rows, rows, dtype=np.float64))
    able = np.isfinite(lengths) & (lengths > 0)
    fits[fits] = able
    return (rows[able] / lengths[able, None]).astype(np.float32), fits
