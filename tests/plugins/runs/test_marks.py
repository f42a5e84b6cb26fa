"""Marks are found however the text was cut, and nothing else is taken for one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from famulus_runs.marks import MarkScan, annotation_of
from famulus_schemas.tooling import Mark


def marks(*texts: str) -> list[Mark]:
    return [Mark(text=text, file_id=f"file_{text}") for text in texts]


def found(known: list[Mark], text: str, size: int = 1) -> list[str]:
    """The marks that were found; all pieces together are the text."""
    scan = MarkScan(known)
    pieces = [
        piece for at in range(0, len(text), size) for piece in scan.feed(text[at : at + size])
    ]
    pieces += scan.end()
    assert "".join(p.text + (p.mark.text if p.mark else "") for p in pieces) == text
    return [piece.mark.text for piece in pieces if piece.mark is not None]


@given(
    st.lists(st.text("ab[", min_size=1, max_size=3), max_size=3, unique=True),
    st.text("ab[", max_size=12),
    st.integers(1, 12),
)
def test_however_a_text_is_cut_the_same_marks_are_found(
    known: list[str], text: str, size: int
) -> None:
    assert found(marks(*known), text, size) == found(marks(*known), text, 100)


@given(st.text("x【】0:", max_size=20), st.text("x【】0:", max_size=20), st.integers(1, 9))
def test_a_mark_is_found_amid_any_text(before: str, after: str, size: int) -> None:
    assert "【0†a】" in found(marks("【0†a】"), f"{before}【0†a】{after}", size)


def test_a_mark_that_no_tool_gave_is_text() -> None:
    assert found(marks("【0:0†a.md】"), "So【0:1†a.md】 and 【0:0†b.md】.") == []


def test_the_longest_mark_counts() -> None:
    known = marks("sandbox:/a.txt", "sandbox:/a.txt.gz")
    assert found(known, "see sandbox:/a.txt.gz and sandbox:/a.txt.") == [
        "sandbox:/a.txt.gz",
        "sandbox:/a.txt",
    ]


def test_the_beginning_of_another_word_is_no_mark() -> None:
    known = marks("sandbox:/a")
    assert found(known, "sandbox:/ab sandbox:/a.png sandbox:/a/b sandbox:/a-b") == []
    assert found(known, "sandbox:/a") == found(known, "(sandbox:/a)") == ["sandbox:/a"]
    assert found(known, "sandbox:/a. Or sandbox:/a.") == ["sandbox:/a", "sandbox:/a"]


def test_no_more_is_held_back_than_may_become_a_mark() -> None:
    scan = MarkScan(marks("【0†a】"))
    assert [piece.text for piece in scan.feed("one 【0")] == ["one "]
    assert [piece.text for piece in scan.feed(" two")] == ["【0 two"]


def test_an_annotation_may_say_something_else_than_the_mark() -> None:
    mark = Mark(text="[1]", file_id="file_1", shown="【0:0†a.md】")
    annotation = annotation_of(mark, 5)
    assert (annotation.text, annotation.start_index, annotation.end_index) == (
        "【0:0†a.md】",
        5,
        15,
    )


# -- marks that models write from memory ---------------------------------------------------


def numbered(*shorts: str) -> list[Mark]:
    return [Mark(text=f"【{one}†notes.md】", file_id=f"file_{one}", short=one) for one in shorts]


def shown(known: list[Mark], text: str, size: int = 100) -> str:
    """The text as a message has it, marks as the tools gave them between braces."""
    scan = MarkScan(known)
    pieces = [
        piece for at in range(0, len(text), size) for piece in scan.feed(text[at : at + size])
    ]
    pieces += scan.end()
    assert "".join(piece.text + piece.written for piece in pieces) == text
    return "".join(piece.text + (f"{{{p.short}}}" if (p := piece.mark) else "") for piece in pieces)


@pytest.mark.parametrize(
    "written",
    [
        "【4:0†notes.md】",
        "【4:0】",
        "【4:0†source】",
        "[4:0†source]",
        "【4:0†notse.md】",
        "【4:0†My Notes.md†L1】",
        "【4:0†passage 4】",
        "【 4:0 】",
    ],
)
def test_it_is_enough_that_it_is_clear_which_mark_is_meant(written: str) -> None:
    for size in (1, 3, 100):
        assert shown(numbered("4:0", "4:01", "4:1"), f"So {written}.", size) == "So {4:0}."


@pytest.mark.parametrize(
    "written",
    [
        "[4:0]",
        "[4:0](https://a.example)",
        "【4:2†notes.md】",
        "【4†notes.md】",
        "[notes.md]",
        "【4:0†notes",
        "【4:0†handbook.pdf】",
        "【4:0 and more】",
        "a[4:0",
        "【4:0†" + "x" * 300 + "】",
    ],
)
def test_what_may_be_anything_else_is_text(written: str) -> None:
    for size in (1, 3, 1000):
        assert shown(numbered("4:0", "4:1"), f"So {written}.", size) == f"So {written}."


@given(st.text("4:0†[】【] n", max_size=24), st.integers(1, 9))
def test_however_it_is_cut_the_same_is_taken_for_a_mark(text: str, size: int) -> None:
    known = numbered("4:0", "4", "4:00")
    assert shown(known, text, size) == shown(known, text)


def test_a_strict_scan_takes_marks_only_as_they_were_given() -> None:
    scan = MarkScan(numbered("4:0"), is_strict=True)
    pieces = [*scan.feed("【4:0】【4:0†notes.md】"), *scan.end()]
    assert [piece.text for piece in pieces if piece.text] == ["【4:0】"]
    assert [piece.written for piece in pieces if piece.mark] == ["【4:0†notes.md】"]
