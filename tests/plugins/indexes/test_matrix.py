"""Rows that come and go: what was given out stays as it was, and a filter names its rows."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from famulus_indexes.matrix import Matrix

STEPS = st.lists(
    st.tuples(st.booleans(), st.integers(0, 5), st.integers(1, 4)), min_size=1, max_size=30
)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(STEPS, st.sets(st.integers(0, 5)))
def test_the_rows_are_those_of_the_documents_that_are_there(
    steps: list[tuple[bool, int, int]], passing: set[int]
) -> None:
    matrix = Matrix(2)
    there: list[tuple[int, int]] = []
    views = []
    for is_added, document, count in steps:
        if is_added:
            matrix.add(document, np.arange(count), np.ones((count, 2), np.float32))
            there += [(document, number) for number in range(count)]
        else:
            matrix.remove({document})
            there = [each for each in there if each[0] != document]
        views.append((matrix.view(), list(there)))
    flags = np.array([number in passing for number in range(6)] + [False])
    for rows, expected in views:
        assert rows.there == len(expected)
        for wanted, at in (
            (expected, rows.passing(None)),
            ([each for each in expected if each[0] in passing], rows.passing(flags)),
        ):
            named = zip(rows.documents[at].tolist(), rows.numbers[at].tolist(), strict=True)
            assert list(named) == wanted


@pytest.mark.parametrize("limit", [1, 3, 6, 100])
def test_the_best_come_first_and_of_equals_the_first(limit: int) -> None:
    matrix = Matrix(1)
    matrix.add(1, np.arange(6), np.array([[1], [3], [2], [3], [-1], [2]], np.float32))
    found = matrix.view().nearest(np.ones(1, np.float32), None, limit)
    assert found.scores.tolist() == [3, 3, 2, 2, 1, -1][:limit]
    if limit != 1:
        assert found.numbers.tolist()[:2] == [1, 3]
