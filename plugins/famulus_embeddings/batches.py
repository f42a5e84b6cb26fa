"""Texts in batches that a model server takes at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence


def in_batches(
    texts: Sequence[str], *, texts_max: int, characters_max: int
) -> Iterator[Sequence[str]]:
    """The texts in order, cut where the next one would be too much; none is empty."""
    start = characters = 0
    for place, text in enumerate(texts):
        is_full = place - start == texts_max or characters + len(text) > characters_max
        if is_full and place > start:
            yield texts[start:place]
            start, characters = place, 0
        characters += len(text)
    if start < len(texts):
        yield texts[start:]
