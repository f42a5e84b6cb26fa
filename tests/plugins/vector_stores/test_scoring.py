"""Scores and rewritten queries, for whatever there is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from famulus_vector_stores.rewriting import rewritten
from famulus_vector_stores.scoring import K, rank, relevance, score, share, words_of

PARTS = st.floats(0, 1)
COSINES = st.floats(-1.01, 1.01)
PLACES = st.lists(st.integers(1, 200), min_size=1, max_size=2)


@given(COSINES, PARTS, PLACES)
def test_a_score_is_from_0_to_1_and_no_more_than_the_relevance(
    cosine: float, shared: float, places: list[int]
) -> None:
    worth = score(relevance(cosine, shared), rank(places, 2))
    assert 0 <= worth <= relevance(cosine, shared) <= 1


@given(COSINES, COSINES, PARTS, PARTS, st.integers(1, 200), st.integers(1, 200))
def test_a_score_rises_with_each_of_its_grounds(
    cosine: float, nearer: float, shared: float, more: float, place: int, before: int
) -> None:
    low, high = sorted((cosine, nearer))
    few, many = sorted((shared, more))
    behind, ahead = sorted((place, before), reverse=True)
    worse = score(relevance(low, few), rank([behind], 2))
    assert worse <= score(relevance(high, few), rank([behind], 2))
    assert worse <= score(relevance(low, many), rank([behind], 2))
    assert worse <= score(relevance(low, few), rank([ahead], 2))
    assert worse <= score(relevance(low, few), rank([behind, ahead], 2))


def test_only_what_is_alike_and_first_in_both_lists_scores_1() -> None:
    assert rank([1, 1], 2) == 1
    assert score(relevance(1.0, 1.0), rank([1, 1], 2)) == 1
    assert score(relevance(1.0, 1.0), rank([1, 2], 2)) < 1
    assert score(relevance(0.0, 0.0), rank([1, 1], 2)) == 0
    assert rank([1], 2) == pytest.approx(0.5)
    assert rank([K + 2], 1) == pytest.approx((K + 1) / (2 * K + 2))


def test_common_words_say_nothing_unless_there_are_no_others() -> None:
    words = words_of("What is the code of the gate?")
    assert share(words, "The CODE, please.") == 0.5
    assert share(words, "what is the of") == 0
    assert share(words_of("to be or not to be"), "not") == 1
    assert share(words_of("the"), "the end") == 1
    assert share(words_of("?!"), "anything") == 0


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("What is the notice period?", "notice period"),
        (
            "Could you please tell me how many days of vacation I have?",
            "how many days of vacation I have",
        ),
        ("How do I reset my password", "reset my password"),
        ("notice period", "notice period"),
        ("Wie lange ist die Kündigungsfrist?", "Wie lange ist die Kündigungsfrist"),
        ("What is the", "What is the"),
        ("???", "???"),
        ("", ""),
    ],
)
def test_filler_is_stripped_from_a_question(query: str, expected: str) -> None:
    assert rewritten(query) == expected


@given(st.text(max_size=60))
def test_a_rewritten_query_is_a_part_of_it_and_says_something_if_it_did(query: str) -> None:
    found = rewritten(query)
    assert found in query
    assert bool(found) == bool(query)


def test_a_long_run_of_blanks_is_no_work() -> None:
    """It took hours once, of a query as long as one may be."""
    query = "x" + " ,\n" * 5_000 + "b"
    assert rewritten(query) == query
