"""The server cites what the model did not: behind its sentence, once, and in prose alone."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from famulus_runs.citing import Citing
from famulus_runs.marks import MarkScan, Piece
from famulus_schemas.tooling import Mark

KNOWN = Mark(text="【0:0†a】", file_id="file_a", short="0:0")
OTHER = Mark(text="【0:1†b】", file_id="file_b", short="0:1")
LINK = Mark(text="sandbox:/x", file_id="file_x", type="file_path")


def cite(sentence: str) -> Sequence[Mark]:
    """Cites whatever says so."""
    if "both" in sentence:
        return (KNOWN, OTHER)
    return (KNOWN,) if "fact" in sentence else ()


def written(text: str, size: int = 1000, *, is_whole: bool = True) -> str:
    """What the message says."""
    scan, citing = MarkScan([KNOWN, OTHER, LINK]), Citing(cite)
    pieces: list[Piece] = []
    for at in range(0, len(text), size):
        pieces += citing.feed(scan.feed(text[at : at + size]))
    pieces += [*citing.feed(scan.end()), *citing.end(is_whole=is_whole)]
    return "".join(piece.text + (piece.mark.text if piece.mark else "") for piece in pieces)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("A fact. A guess.", "A fact.【0:0†a】 A guess."),
        ("A fact", "A fact【0:0†a】"),
        ("Of both. Then", "Of both.【0:0†a】【0:1†b】 Then"),
        # The model's own marks count, before and behind the full stop.
        ("A fact【0:1†b】. A guess.", "A fact【0:1†b】. A guess."),
        ("A fact.【0:1†b】 A guess.", "A fact.【0:1†b】 A guess."),
        ("A fact. 【0:1†b】 A fact.", "A fact. 【0:1†b】 A fact.【0:0†a】"),
        ("A fact.\n【0:1】\nA guess.", "A fact.\n【0:1†b】\nA guess."),
        ("A fact [0:1†b]. So a fact.", "A fact 【0:1†b】. So a fact.【0:0†a】"),
        # A link to a file is no citation.
        ("A fact, see sandbox:/x. Yes.", "A fact, see sandbox:/x.【0:0†a】 Yes."),
        ("- a fact\n- a guess\n", "- a fact【0:0†a】\n- a guess\n"),
        ("So:\n```\na fact. B\n【0:1】\n```\n", "So:\n```\na fact. B\n【0:1】\n```\n"),
        ("## The fact\n\n| a fact |\n|---|\n", "## The fact\n\n| a fact |\n|---|\n"),
        ('{"a": "A fact. Yes."}', '{"a": "A fact. Yes."}'),
        (' [\n {"a": "A fact. 【0:1】"}]', ' [\n {"a": "A fact. 【0:1】"}]'),
        ("[A fact](https://a.example). Yes.", "[A fact](https://a.example).【0:0†a】 Yes."),
    ],
)
def test_a_sentence_is_cited_where_the_model_did_not(text: str, says: str) -> None:
    for size in (1, 2, 5, 1000):
        assert written(text, size) == says


def test_a_sentence_that_was_cut_off_is_not_cited() -> None:
    assert written("A fact. Another fact", is_whole=False) == "A fact.【0:0†a】 Another fact"


def test_the_mark_comes_before_the_text_that_follows() -> None:
    citing = Citing(cite)
    first = citing.feed([Piece("A fact. ")])
    second = citing.feed([Piece("More")])
    assert [piece.text for piece in first] == ["A fact."]
    assert [(piece.text, piece.mark) for piece in second] == [("", KNOWN), (" More", None)]


@given(
    st.lists(
        st.sampled_from(
            [
                "A fact",
                "both",
                " ",
                ". ",
                "\n",
                "【0:0†a】",
                "[0:1†x]",
                "```\n",
                "{",
                "[",
                "x",
                "。",
            ]
        ),
        max_size=12,
    ).map("".join),
    st.integers(1, 9),
)
def test_however_a_text_is_cut_it_is_cited_the_same(text: str, size: int) -> None:
    assert written(text, size) == written(text)


def test_without_anybody_who_cites_the_pieces_are_as_they_were() -> None:
    pieces = [Piece("A fact. ", KNOWN, "【0:0】"), Piece("b")]
    assert Citing(None).feed(pieces) is pieces
