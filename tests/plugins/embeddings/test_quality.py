"""The default finds what it found when it was chosen: quality cannot rot without being noticed.

What it measures well is in ops/bench/RESULTS.md; here are floors somewhat below that, on a part.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

np = pytest.importorskip("numpy", reason="compares vectors by numpy")

BENCH = Path(__file__).parents[3] / "ops" / "bench"

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module", autouse=True)
def _bench():
    sys.path.insert(0, str(BENCH))
    yield
    sys.path.remove(str(BENCH))


async def test_the_default_embedder_finds_what_answers_a_question(embedding):
    from corpus import build
    from judged import judged

    corpus = build(questions=40)
    async with embedding("builtin") as house:
        model = house.embedder.default_model
        passages = await house.vectors(*(one.text for one in corpus.passages), model=model)
        asked = await house.vectors(
            *(one.text for one in corpus.held_out), model=model, role="query"
        )
    cosines = _matrix(asked) @ _matrix(passages).T
    found = np.argsort(-cosines, axis=1, kind="stable")[:, :10].tolist()
    figures = judged(
        [(numbers, one.answers) for numbers, one in zip(found, corpus.held_out, strict=True)]
    )
    assert len(corpus.held_out) == 140
    assert figures["recall_10"] >= 0.85, figures
    assert figures["ndcg_10"] >= 0.51, figures


def _matrix(vectors):
    return np.frombuffer(b"".join(vectors), "<f4").reshape(len(vectors), -1)


def test_the_corpus_is_always_the_same_and_its_halves_are_apart():
    from corpus import build

    one, other = build(), build()
    assert one == other
    assert len(one.passages) >= 1_000
    assert len(one.tuning) == len(one.held_out) == 210
    asked = [{place for q in half for place in q.answers} for half in (one.tuning, one.held_out)]
    assert asked[0].isdisjoint(asked[1])
    assert len({passage.text for passage in one.passages}) == len(one.passages)
    assert build(seed=2) != one


def test_rankings_are_judged_by_where_the_answers_stand():
    from judged import judged

    assert judged([([7, 1], {7})]) == {"ndcg_10": 1.0, "recall_1": 1.0, "recall_10": 1.0}
    second = judged([([1, 7], {7})])
    assert second["recall_1"] == 0
    assert second["ndcg_10"] == pytest.approx(0.6309, abs=1e-4)
    both = judged([([1, 7], {7}), ([], {3})])
    assert (both["recall_10"], both["ndcg_10"]) == (0.5, pytest.approx(0.3155, abs=1e-4))
