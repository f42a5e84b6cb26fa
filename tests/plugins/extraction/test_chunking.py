"""What chunks promise, whatever the text is."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from famulus_extraction.chunking import chunks
from famulus_extraction.document import document
from famulus_extraction.tokens import count
from famulus_schemas.retrieval import Chunk, Chunking, Section

words = st.sampled_from(
    [
        "a",
        "word",
        "Überraschung",
        "検索",
        "。",
        ". ",
        "\n",
        "\n\n",
        "  ",
        "x" * 40,
        "👩‍👩‍👧",
        "e\u0301",
        "🇩🇪",
        "{};",
    ]
)
texts = st.lists(words | st.text(max_size=5), max_size=60).map("".join)
sections_lists = st.lists(
    st.builds(
        Section,
        text=texts,
        page=st.none() | st.integers(1, 9),
        heading=st.none() | st.sampled_from(["One", "Two"]),
    ),
    min_size=1,
    max_size=5,
)
chunkings = st.integers(4, 60).flatmap(
    lambda most: st.builds(
        Chunking, max_tokens=st.just(most), overlap_tokens=st.integers(0, most // 2)
    )
)


def made(sections: list[Section], chunking: Chunking) -> tuple[str, list[Section], list[Chunk]]:
    """The document's text, its sections, and its chunks."""
    kept = document([*sections, Section(text="end")], 1_000_000)
    return "".join(each.text for each in kept), kept, list(chunks(kept, chunking))


@given(sections_lists, chunkings)
@example([Section(text="")], Chunking(max_tokens=4, overlap_tokens=2))
def test_a_chunk_is_what_stands_where_it_says(sections: list[Section], chunking: Chunking) -> None:
    text, _, found = made(sections, chunking)
    assert found
    for chunk in found:
        assert text[chunk.start : chunk.end] == chunk.text
        assert chunk.text.strip()


@given(sections_lists, chunkings)
def test_nothing_but_blanks_is_left_out(sections: list[Section], chunking: Chunking) -> None:
    text, _, found = made(sections, chunking)
    covered = 0
    for chunk in found:
        assert not text[covered : chunk.start].strip()
        covered = max(covered, chunk.end)
    assert not text[covered:].strip()


@given(sections_lists, chunkings)
def test_chunks_come_in_order_and_each_brings_something_new(
    sections: list[Section], chunking: Chunking
) -> None:
    _, _, found = made(sections, chunking)
    for before, after in pairwise(found):
        assert before.start <= after.start
        assert before.end < after.end


@given(sections_lists, chunkings)
def test_no_chunk_is_longer_than_it_may_be(sections: list[Section], chunking: Chunking) -> None:
    _, _, found = made(sections, chunking)
    assert all(0 < chunk.tokens <= chunking.max_tokens for chunk in found)


@given(sections_lists, chunkings)
def test_no_two_neighbours_share_more_than_they_may(
    sections: list[Section], chunking: Chunking
) -> None:
    text, _, found = made(sections, chunking)
    for before, after in pairwise(found):
        shared = text[after.start : before.end]
        # A cut inside of a word can make two tokens of one at each end.
        assert count(shared) <= chunking.overlap_tokens + 2


@given(sections_lists, chunkings)
def test_a_chunk_has_the_page_and_the_heading_of_where_it_begins(
    sections: list[Section], chunking: Chunking
) -> None:
    _, kept, found = made(sections, chunking)
    starts, at = [], 0
    for section in kept:
        starts.append((at, section))
        at += len(section.text)
    for chunk in found:
        section = [each for start, each in starts if start <= chunk.start][-1]
        assert (chunk.page, chunk.heading) == (section.page, section.heading)


@pytest.mark.parametrize(
    "character",
    ["e\u0301", "n\u0303", "\U0001f469\u200d\U0001f467", "\U0001f44d\U0001f3fd", "\u2764\ufe0f"],
)
def test_no_character_is_torn_from_its_marks(character: str) -> None:
    found = cut(character * 500)
    assert len(found) > 10
    assert all(len(chunk) % len(character) == 0 for chunk in found)


def cut(text: str, max_tokens: int = 20, overlap_tokens: int = 0) -> list[str]:
    chunking = Chunking(max_tokens=max_tokens, overlap_tokens=overlap_tokens)
    return [chunk.text for chunk in chunks(document([Section(text=text)], 10_000), chunking)]


def test_a_cut_is_rather_between_paragraphs_than_between_lines() -> None:
    paragraph = "one two three four\nfive six seven eight\nnine ten eleven\n" * 10
    found = cut(f"{paragraph}\n{paragraph}", count(paragraph) + 10)
    assert found == [paragraph.strip(), paragraph.strip()]


def test_a_cut_is_rather_between_sentences_than_between_words() -> None:
    sentences = "One two three four five six. Seven eight nine ten eleven twelve thirteen. " * 5
    found = cut(sentences * 2, count(sentences) + 5)
    assert found == [sentences.strip()] * 2


def test_chinese_is_cut_between_its_sentences() -> None:
    sentences = "这是一个很长的句子没有空格。" * 10
    assert cut(sentences * 2, 165) == [sentences] * 2


def test_a_cut_is_rather_where_a_page_begins_than_between_paragraphs() -> None:
    paragraphs = [Section(text="Some words.\n\n" * 20, page=page) for page in (1, 2)]
    chunking = Chunking(max_tokens=count(paragraphs[0].text) + 10, overlap_tokens=0)
    assert [each.page for each in chunks(paragraphs, chunking)] == [1, 2]


def test_lines_of_code_keep_their_indentation() -> None:
    one = "def one():\n    return 1\n\n"
    two = "    def two():\n        return 2\n"
    assert cut(one + two, count(one) + 2) == [one.strip(), two.rstrip()]


def test_a_chunk_shares_its_beginning_with_the_one_before() -> None:
    found = cut(" ".join(f"w{number:02}" for number in range(60)), 40, 20)
    for before, after in pairwise(found):
        assert before.split()[-3:] == [word for word in before.split()[-3:] if word in after]


@pytest.mark.parametrize("overlap_tokens", [700, 800, 10_000])
def test_more_overlap_than_half_is_half(overlap_tokens: int) -> None:
    text = "word " * 5000
    chunking = Chunking(max_tokens=800, overlap_tokens=overlap_tokens)
    found = list(chunks(document([Section(text=text)], 100_000), chunking))
    assert len(found) < 20


def test_the_rule_counts_the_parts_of_a_text_as_the_whole() -> None:
    text = "It is about the same, wherever a text is cut. " * 20
    halves = text[: len(text) // 2], text[len(text) // 2 :]
    assert sum(map(count, halves)) == pytest.approx(count(text), abs=1)
