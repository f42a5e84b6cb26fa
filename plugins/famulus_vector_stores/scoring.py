"""What a chunk that was found is worth, from 0 to 1.

Two things are known of a chunk: how near its meaning is to the query's (the cosine of their
vectors), and how many of the query's words are in it. Either alone misleads: words that are
spelled otherwise, and meanings that are near to everything.

- `relevance` joins the two as independent grounds: 1 - (1 - cosine) * (1 - WORDS * share), where
  share is the part of the query's words, without the most common ones, that the chunk has. All
  the words are worth as much as a cosine of WORDS, so that a number or a name that no model
  knows is found too, and neither is a low cosine lifted by a word or two.
- `rank` fuses the places that the chunk has in both lists, by reciprocal rank: the sum of
  1 / (K + place), over what that is for a chunk that is first in both.
- the score is relevance * (1 + rank) / 2.

So it rises with each of the three, is 1 only for a chunk that is alike and first in both lists,
and falls to 0 with the relevance: what has nothing to do with the query scores low even where
there is nothing better, which is what makes a threshold of use. Of several queries, that one
counts which the chunk fits best.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Sequence
from itertools import islice
from operator import mul

K = 60
"""What makes the first places count about alike, as usual for this fusion."""
WORDS = 0.6

WORDS_MAX = 64
"""Words of a query that are looked for in a chunk, the first ones: each costs time."""

_WORD = re.compile(r"\w+")
_COMMON = frozenset(
    _WORD.findall(
        "a an and are as at be by can do does for from has have how i if in is it its may me my "
        "of on or our should so that the their there these they this to us was we what when "
        "where which who why will with would you your"
    )
)


def words_of(text: str) -> frozenset[str]:
    """The words of a text that say something; all, where there are only common ones."""
    words = dict.fromkeys(_WORD.findall(text.casefold()))
    telling = [word for word in words if word not in _COMMON] or words
    return frozenset(islice(telling, WORDS_MAX))


def share(words: frozenset[str], text: str) -> float:
    """The part of the words that a text has."""
    if not words:
        return 0.0
    # To look for a few words is many times quicker than to take a whole text apart.
    folded = text.casefold()
    return sum(_has(folded, word) for word in words) / len(words)


def _has(text: str, word: str) -> bool:
    """Whether it is there as a word, and not only as a part of one."""
    at = text.find(word)
    while at >= 0:
        end = at + len(word)
        if not (_is_in_word(text[at - 1 : at]) or _is_in_word(text[end : end + 1])):
            return True
        # Whatever begins before its end is a part of the same word.
        at = text.find(word, end)
    return False


def _is_in_word(sign: str) -> bool:
    return sign.isalnum() or sign == "_"


def rank(places: Sequence[int], lists: int) -> float:
    """The places from 1 on that something has in some of so many lists, fused: from 0 to 1."""
    return sum(1 / (K + place) for place in places) * (K + 1) / lists


def relevance(cosine: float, shared: float) -> float:
    """How much a chunk has to do with a query: from 0 to 1."""
    near = min(1.0, max(0.0, cosine))
    return 1 - (1 - near) * (1 - WORDS * shared)


def score(relevant: float, ranked: float) -> float:
    """What a chunk is worth."""
    return min(1.0, max(0.0, relevant * (1 + ranked) / 2))


def cosine(left: bytes, right: bytes) -> float:
    """The cosine of two vectors of length 1."""
    a, b = array("f"), array("f")
    a.frombytes(left)
    b.frombytes(right)
    return sum(map(mul, a, b)) if len(a) == len(b) else 0.0
