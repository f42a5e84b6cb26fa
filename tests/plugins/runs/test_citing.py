"""The server cites what the model did not: behind its sentence, once, and in prose alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from famulus_runs.citing import Citing
from famulus_runs.drafts import MessageDraft
from famulus_runs.marks import MarkScan, Piece
from famulus_schemas.deltas import TextDelta, TextDeltaBlock
from famulus_schemas.events import ThreadMessageDelta
from famulus_schemas.messages import TextContentBlock
from famulus_schemas.runs import Run
from famulus_schemas.tooling import Mark

RUN = {
    "id": "run_1",
    "object": "thread.run",
    "created_at": 0,
    "thread_id": "thread_1",
    "assistant_id": "asst_1",
    "status": "in_progress",
    "expires_at": 600,
    "model": "m",
    "tools": [],
    "truncation_strategy": None,
}

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


# -- the message, as it is told and as it is kept ------------------------------------------


def drafted(text: str, cuts: Sequence[int]) -> tuple[str, list[Any], str, list[Any]]:
    """What a listener adds up, and what is kept: each with its annotations."""
    run = msgspec.convert(RUN, Run)
    draft = MessageDraft.new(
        run, lambda prefix: f"{prefix}1", 0, marks=[KNOWN, OTHER, LINK], cite=cite
    )
    events, at = list(draft.opened()), 0
    for size in cuts:
        events += draft.add_text(text[at : at + size])
        at += size
    events += draft.add_text(text[at:])
    events += draft.completed(0, usage=None)
    told, annotations = "", []
    for event in events:
        if isinstance(event, ThreadMessageDelta):
            for block in event.data.delta.content or ():
                assert isinstance(block, TextDeltaBlock)
                assert isinstance(block.text, TextDelta)
                told += block.text.value or ""
                annotations += msgspec.to_builtins(block.text.annotations or [])
    parts = draft.written().content
    if not parts:
        return told, annotations, "", []
    (part,) = parts
    assert isinstance(part, TextContentBlock)
    return told, annotations, part.text.value, msgspec.to_builtins(part.text.annotations)


@given(
    st.lists(
        st.sampled_from(
            [
                "A fact",
                "of both",
                " ",
                ". ",
                "\n\n",
                "【0:0†a】",
                "【0:1】",
                "sandbox:/x",
                "```\n",
                "é。",
            ]
        ),
        max_size=14,
    ).map("".join),
    st.lists(st.integers(1, 12), max_size=12),
)
def test_what_is_told_is_what_is_kept_and_annotations_stand_where_they_say(
    text: str, cuts: list[int]
) -> None:
    told, told_annotations, kept, annotations = drafted(text, cuts)
    assert told == kept
    assert [one.pop("index") for one in told_annotations] == list(range(len(annotations)))
    assert told_annotations == annotations
    for one in annotations:
        assert kept[one["start_index"] : one["end_index"]] == one["text"]
    assert (kept, annotations) == drafted(text, [])[2:]
