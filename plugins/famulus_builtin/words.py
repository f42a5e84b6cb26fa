"""Words and their stems: what all matching of meaning goes by."""

from __future__ import annotations

import re
from functools import lru_cache

from famulus_indexes.stems import stem as base_of

WORD = re.compile(r"[^\W_]+(?:['\u2019][^\W_]+)*")


def row(text: str) -> frozenset[str]:
    """The words of a list that is written as a text."""
    return frozenset(text.split())


# Words that carry no meaning of their own; matching on them would match everything.
EMPTY = row(
    """
    a about above after again all also am an and any are as at be because been before being below
    between both but by can could did do does doing down during each few for from further had has
    have having he her here hers him his how i if in into is it its just kindly like ll many may me
    might more most much must my no nor not now of off on once only or other our ours out over own
    per please re s same shall she should so some such t than that the their theirs them then there
    these they this those through to too under until up us ve very was we were what when where
    which while who whom whose why will with would yes you your yours
    """
)


def words(text: str) -> list[str]:
    """Every word of a text, in lower case; a name in snake_case or camelCase is several."""
    spaced = re.sub(r"([a-z0-9])([A-Z])", r"\1 \2", text)
    return [word.lower() for word in WORD.findall(spaced.replace("_", " "))]


def stems(text: str) -> list[str]:
    """The stems of the words that carry meaning."""
    return [stem(word) for word in words(text) if word not in EMPTY]


@lru_cache(maxsize=16_384)
def stem(word: str) -> str:
    """A word less its commonest endings, so that forms of one word are equal."""
    return base_of(word.lower().replace("\u2019", "'").removesuffix("'s"))
