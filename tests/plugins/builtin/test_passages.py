"""Of retrieved passages, the sentence that answers best is quoted, and said to be a quotation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from famulus_builtin.passages import Passage, best, in_instructions, in_result, split_question
from famulus_builtin.reply import Reply

Ask = Callable[..., Reply]
Answered = Callable[..., list[dict[str, Any]]]

HANDBOOK = "Shipping takes 3 days. Refunds are possible within 30 days of delivery. Cats are nice."


@pytest.mark.parametrize(
    ("text", "passages"),
    [
        (
            '{"results":[{"file_name":"a.md","score":0.9,"content":[{"type":"text","text":"A."}]}]}',
            [("a.md", "A.")],
        ),
        (
            '{"data":[{"filename":"a.md","content":[{"type":"text","text":"A."}]}]}',
            [("a.md", "A.")],
        ),
        ('[{"source":"a.md","text":"A."},{"text":"B."}]', [("a.md", "A."), ("", "B.")]),
        ("[1] a.md\nA.\n\n[2] b.md\nB.", [("a.md", "A."), ("b.md", "B.")]),
        ("Source: a.md\nA.\n---\nSource: b.md\nB.", [("a.md", "A."), ("b.md", "B.")]),
        (
            '<document source="a.md">A.</document><document>B.</document>',
            [("a.md", "A."), ("", "B.")],
        ),
        (
            'Quoted:\n\n<passage mark="\u30100:0\u2020a.md\u3011" file="a.md">\nA.\n</passage>',
            [("a.md", "A.")],
        ),
        ("A.\n\nB.", [("", "A."), ("", "B.")]),
        ("\u30100\u2020a.md\u3011 A.\n\u30101\u2020b.md\u3011 B.", [("", "A."), ("", "B.")]),
        ('{"results":[]}', []),
        ('{"temperature":21}', []),
        ("", []),
    ],
)
def test_passages_are_found_in_what_a_search_answers(text: str, passages: list[Any]) -> None:
    found = in_result(text, is_search=True)
    assert [(passage.source, passage.text) for passage in found] == passages


@pytest.mark.parametrize(
    "text", ["22 and sunny", '{"temperature":21}', '["a","b"]', "1. one\n2. two"]
)
def test_other_results_hold_no_passages(text: str) -> None:
    assert in_result(text, is_search=False) == []


@pytest.mark.parametrize(
    ("text", "passages"),
    [
        ("Answer from this context:\nA.\n\nB.", ["A.", "B."]),
        ("Use the following documents to answer:\n[1] a.md\nA.", ["A."]),
        ("<context>\nA.\n</context>", ["A."]),
        ("You are a helpful assistant.", []),
        ("Use the context:", []),
    ],
)
def test_passages_are_found_in_instructions(text: str, passages: list[str]) -> None:
    assert [passage.text for passage in in_instructions(text)] == passages


@pytest.mark.parametrize(
    ("question", "quotation"),
    [
        ("How long is the refund period?", "Refunds are possible within 30 days of delivery."),
        ("When will it be shipped?", "Shipping takes 3 days."),
        ("Are cats nice?", "Cats are nice."),
    ],
)
def test_the_sentence_that_shares_most_is_quoted(question: str, quotation: str) -> None:
    found = best([Passage(text="Nothing here."), Passage(text=HANDBOOK)], question)
    assert found is not None
    assert found.text == quotation


def test_a_question_in_a_text_is_quoted_with_its_answer() -> None:
    found = best(
        [Passage(text="# Refunds\nHow long is the refund period? 30 days.")], "refund period?"
    )
    assert found is not None
    assert found.text == "How long is the refund period? 30 days."


def test_a_heading_is_no_answer() -> None:
    found = best([Passage(text="# Refund period\nYou have 30 days.")], "What is the refund period?")
    assert found is not None
    assert found.text == "You have 30 days."


def test_no_common_word_is_no_quotation() -> None:
    assert best([Passage(text=HANDBOOK)], "Who wrote Hamlet?") is None
    assert best([], "Who wrote Hamlet?") is None


def test_a_prompt_with_its_question_is_split() -> None:
    assert split_question("Context:\nA.\n\nQuestion: Why?") == ("Context:\nA.\n", "Why?")
    assert split_question("Why?") == ("", "Why?")


def test_the_answer_names_its_source(ask: Ask, answered: Answered) -> None:
    result = f'{{"results":[{{"file_name":"handbook.md","text":"{HANDBOOK}"}}]}}'
    reply = ask("How long is the refund period?", *answered("file_search", result))
    assert reply.text == (
        "From handbook.md, I quote: \u201cRefunds are possible within 30 days of delivery.\u201d"
    )


def test_a_citation_mark_goes_with_the_quotation(ask: Ask, answered: Answered) -> None:
    marks = "\u30100\u2020a.md\u3011 Cats are nice.\n\u30101\u2020b.md\u3011 Dogs are loud."
    reply = ask("Which dogs are loud?", *answered("file_search", marks))
    assert reply.text.endswith("I quote: \u201cDogs are loud.\u201d\u30101\u2020b.md\u3011")


def test_a_weak_match_is_called_weak(ask: Ask, answered: Answered) -> None:
    asked = "Which delivery company did the founder choose in Lisbon?"
    reply = ask(asked, *answered("file_search", f"[1] a.md\n{HANDBOOK}"))
    assert reply.text.startswith("Nothing in the passages that were found clearly answers that.")
    assert "Refunds are possible" in reply.text


def test_no_match_is_said_plainly(ask: Ask, answered: Answered) -> None:
    reply = ask("Who wrote Hamlet?", *answered("file_search", f"[1] a.md\n{HANDBOOK}"))
    assert reply.text.startswith("I compared words, and found none of your question")


@pytest.mark.parametrize(
    "text", ["", "[]", '{"results":[]}', "Nothing was found in the files. 2 files are being read."]
)
def test_an_empty_search_is_said_to_be_empty(ask: Ask, answered: Answered, text: str) -> None:
    reply = ask("Who wrote Hamlet?", *answered("file_search", text))
    assert reply.text == "The search found nothing."


def test_results_of_two_searches_are_compared_together(ask: Ask, answered: Answered) -> None:
    results = answered(
        "file_search", "[1] a.md\nCats are nice.", "file_search", "[1] b.md\nDogs are loud."
    )
    assert ask("Which animals are loud?", *results).text.startswith("From b.md, I quote")


def test_context_in_the_instructions_is_quoted(ask: Ask) -> None:
    system = {"role": "system", "content": f"Answer from this context:\n{HANDBOOK}"}
    reply = ask(system, "How long is the refund period?")
    assert reply.text == (
        "From the passages that I was given, I quote: "
        "\u201cRefunds are possible within 30 days of delivery.\u201d"
    )


def test_context_in_the_question_is_quoted(ask: Ask) -> None:
    reply = ask(f"Context:\n{HANDBOOK}\n\nQuestion: Are cats nice?")
    assert "\u201cCats are nice.\u201d" in reply.text
