"""Sentences end where a reader would say so, and however the text was cut."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from famulus_runs.sentences import Sentences


def read(text: str, size: int = 1000) -> tuple[str, list[str]]:
    """The text with a bar where a sentence ends; and the sentences that may be cited."""
    reader, out, sentences = Sentences(), "", []
    segments = [
        segment for at in range(0, len(text), size) for segment in reader.feed(text[at : at + size])
    ]
    for segment in [*segments, *reader.end(is_whole=True)]:
        out += segment.text + ("|" if segment.sentence else "")
        sentences += [segment.sentence] if segment.sentence else []
    return out, sentences


@pytest.mark.parametrize(
    "marked",
    [
        "One is here.| Two is there.|",
        "One?| Two!| Three…|",
        "It costs 3.5 euros.| Or 4.|",
        "Ask Dr. Who, e.g. on Mondays.| He knows.|",
        "J. R. Tolkien wrote it in the U.S. army.|",
        "He said “no.”| She said (yes.)| And **so on.**|",
        "One line|\nAnd another.|",
        "One line that\ngoes on.|",
        "- first item|\n- second item|\n\n1. third|\n2. fourth|",
        "Before:|\n```python\nx = 1. Y = 2.\n```\nAfter.|",
        "# A heading. Of two.\n\nText.|",
        "Call `a. B` now.| Then go.|",
        "一。|二？|三「四。」|五|",
        "Wait...| What?!| Yes.|",
    ],
)
def test_sentences_end_where_a_reader_would_say_so(marked: str) -> None:
    for size in (1, 2, 1000):
        assert read(marked.replace("|", ""), size)[0] == marked


def test_rows_of_a_table_are_no_sentences() -> None:
    table = "| a | b. |\n| - | - |\n| c | d. |\n\n"
    assert read(f"{table}Text.") == (f"{table}Text.|", ["Text."])


def test_a_text_without_a_full_stop_is_a_sentence_at_its_end() -> None:
    assert read("Yes, on  Mondays  ") == ("Yes, on  Mondays|  ", ["Yes, on  Mondays"])


def test_a_cut_off_text_ends_with_no_sentence_but_a_whole_one() -> None:
    for text, ends in (("One. Two", False), ("One. Two.", True)):
        reader = Sentences()
        list(reader.feed(text))
        assert any(segment.is_end for segment in reader.end(is_whole=False)) is ends


def test_only_blanks_are_held_back() -> None:
    reader = Sentences()
    assert [one.text for one in reader.feed("It is so. ")] == ["It", " ", "is", " ", "so."]
    assert [one.text for one in reader.feed("B")] == ["", " ", "B"]
    assert [one.text for one in reader.feed(" and")] == [" ", "and"]


@given(st.text('aB1. \n`。！」"#|-*~', max_size=40), st.integers(1, 7))
def test_however_a_text_is_cut_its_sentences_are_the_same(text: str, size: int) -> None:
    assert read(text, size) == read(text)
    assert read(text)[0].replace("|", "") == text.replace("|", "")
