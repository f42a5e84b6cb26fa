"""Sentences of passages, whatever a file has for them."""

from __future__ import annotations

import pytest

from famulus_file_search.attribution import Evidence
from famulus_file_search.reading import (
    PASSAGE_SENTENCES_MAX,
    SENTENCE_CHARS_MAX,
    sentences_in,
    without_marks,
)


@pytest.mark.parametrize(
    "passage",
    ["1/" * 8000, "word " * 4000, "a. " * 6000, "x\n" * 8000, "One. " * 4000, "a,b\n" * 4000],
    ids=["no blanks", "no ends", "abbreviations", "lines", "short", "table"],
)
def test_no_sentence_is_endless_and_there_are_not_endlessly_many(passage: str) -> None:
    sentences = [text for _, text in sentences_in(passage)]
    assert 1 <= len(sentences) <= PASSAGE_SENTENCES_MAX
    assert all(len(text) <= 2 * SENTENCE_CHARS_MAX for text in sentences)


def test_what_stands_in_a_long_table_is_found_in_its_line() -> None:
    rows = [f"Depot {n:03} in Harbour Street {n} stores {n + 1000} barrels" for n in range(60)]
    evidence = Evidence(["\n".join(rows)])
    assert evidence.supports("Depot 041 in Harbour Street 41 stores 1041 barrels.") == (0,)
    assert not evidence.supports("Depot 041 in Harbour Street 41 stores 1042 barrels.")


def test_a_gap_in_a_sentence_is_as_good_as_a_blank() -> None:
    assert without_marks("The" + " " * 2000 + "office\n opens 【9:9†x】 at 7:30.") == (
        "The office opens at 7:30."
    )
