"""How documents are put together: facts, each told in one of several ways, among other sentences."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

import msgspec


class Chunk(msgspec.Struct, frozen=True):
    """A passage, and questions that it answers."""

    text: str
    asks: Sequence[str]


class Document(msgspec.Struct, frozen=True):
    """A title and its chunks in order."""

    title: str
    chunks: Sequence[Chunk]


class Fact(msgspec.Struct, frozen=True):
    """Ways to tell it, and ways to ask for it; `{...}` is filled in from the chunk's names."""

    tells: Sequence[str]
    asks: Sequence[str]


def write(
    chance: Random,
    facts: Sequence[Fact],
    names: dict[str, object],
    *,
    head: str = "",
    between: Sequence[str] = (),
) -> Chunk:
    """A chunk that tells all of the facts, in any order, with some sentences between them."""
    told = [chance.choice(fact.tells) for fact in facts]
    told += chance.sample(list(between), min(len(between), chance.randint(1, 3)))
    chance.shuffle(told)
    text = " ".join(sentence.format(**names) for sentence in told)
    asks = [chance.choice(fact.asks).format(**names) for fact in facts if fact.asks]
    return Chunk(f"{head.format(**names)}\n\n{text}" if head else text, asks)
