"""How good rankings are, where it is known what should have been found."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence


def judged(rankings: Sequence[tuple[Sequence[int], Collection[int]]]) -> dict[str, float]:
    """The means over all questions, each with what was found, best first, and what answers it.

    `recall_1` and `recall_10` are the share of questions of which an answer is among the first one
    or ten; `ndcg_10` is 1 where all answers stand at the top, and less the lower they stand.
    """
    count = len(rankings)
    return {
        "ndcg_10": sum(_ndcg(found[:10], answers) for found, answers in rankings) / count,
        "recall_1": sum(_has(found[:1], answers) for found, answers in rankings) / count,
        "recall_10": sum(_has(found[:10], answers) for found, answers in rankings) / count,
    }


def _has(found: Sequence[int], answers: Collection[int]) -> bool:
    return any(number in answers for number in found)


def _ndcg(found: Sequence[int], answers: Collection[int]) -> float:
    gained = sum(_gain(place) for place, number in enumerate(found) if number in answers)
    return gained / sum(_gain(place) for place in range(min(len(answers), 10)))


def _gain(place: int) -> float:
    return 1 / math.log2(place + 2)
