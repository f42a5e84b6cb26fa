"""Texts longer than a model reads at once: cut into windows, and put together again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence


def in_windows(tokens: Sequence[int], size: int, windows_max: int) -> list[Sequence[int]]:
    """The tokens, `size` at a time; one empty window where there are none."""
    last = min(len(tokens), size * windows_max)
    return [tokens[start : min(start + size, last)] for start in range(0, max(last, 1), size)]


def in_batches(lengths: Sequence[int], tokens_max: int) -> Iterator[Sequence[int]]:
    """Places of rows to compute together, each batch padded to its longest within the limit.

    Rows of about one length come together, so that little is computed for nothing.
    """
    batch: list[int] = []
    for place in sorted(range(len(lengths)), key=lengths.__getitem__):
        if batch and (len(batch) + 1) * lengths[place] > tokens_max:
            yield batch
            batch = []
        batch.append(place)
    if batch:
        yield batch
