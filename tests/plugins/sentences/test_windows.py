"""Long texts in windows, and rows in batches."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from famulus_sentences.windows import in_batches, in_windows


@given(st.lists(st.integers(), max_size=60), st.integers(1, 9), st.integers(1, 9))
def test_windows_are_the_text_up_to_as_many_as_are_read(
    tokens: list[int], size: int, windows_max: int
) -> None:
    windows = in_windows(tokens, size, windows_max)
    assert [token for window in windows for token in window] == tokens[: size * windows_max]
    assert 1 <= len(windows) <= windows_max
    assert all(len(window) == size for window in windows[:-1])


@given(st.lists(st.integers(1, 20), max_size=40), st.integers(1, 60))
def test_every_row_is_in_one_batch_within_the_limit(lengths: list[int], tokens_max: int) -> None:
    batches = list(in_batches(lengths, tokens_max))
    assert sorted(place for batch in batches for place in batch) == list(range(len(lengths)))
    for batch in batches:
        padded = len(batch) * max(lengths[place] for place in batch)
        assert len(batch) == 1 or padded <= tokens_max
