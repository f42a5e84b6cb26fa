"""What the server cites, measured on labelled sentences: hardly ever wrong, and often enough."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from famulus_file_search.attribution import Evidence

LABELLED = Path(__file__).with_name("citations.toml")
ALL = tomllib.loads(LABELLED.read_text())


class Row(msgspec.Struct, frozen=True):
    """A sentence, and which passages say what it says."""

    kind: str
    rests_on: frozenset[str]
    sentence: str


class Counted(msgspec.Struct):
    """What was cited of what should be."""

    right: int = 0
    wrong: int = 0
    found: int = 0
    to_find: int = 0
    faults: list[str] = []

    @property
    def precision(self) -> float:
        return self.right / (self.right + self.wrong)

    @property
    def recall(self) -> float:
        return self.found / self.to_find


def rows(domain: str) -> list[Row]:
    lines = ALL[domain]["rows"]["text"].strip().splitlines()
    cells = [[cell.strip() for cell in line.split("|", 2)] for line in lines]
    return [Row(kind, frozenset(names.split()), text) for kind, names, text in cells]


def count(domain: str, counted: Counted) -> None:
    """Add what is cited of the sentences of one domain."""
    passages = ALL[domain]["passages"]
    names, evidence = list(passages), Evidence(list(passages.values()))
    for row in rows(domain):
        cited = {names[number] for number in evidence.supports(row.sentence)}
        counted.right += len(cited & row.rests_on)
        counted.wrong += len(cited - row.rests_on)
        counted.to_find += bool(row.rests_on)
        counted.found += bool(cited & row.rests_on)
        if cited - row.rests_on or (row.rests_on and not cited):
            counted.faults.append(f"{row.kind}: {sorted(cited)} {row.sentence}")


def test_the_labelled_sentences_are_of_every_kind() -> None:
    kinds = {row.kind for domain in ALL for row in rows(domain)}
    assert kinds == {
        *("verbatim", "paraphrase", "merged", "wrong number", "wrong name", "negated"),
        *("same topic", "off topic", "talk"),
    }
    assert sum(len(rows(domain)) for domain in ALL) >= 60


def test_hardly_a_citation_is_wrong_and_most_are_found(
    record_property: Callable[[str, object], None],
) -> None:
    counted = Counted()
    for domain in ALL:
        count(domain, counted)
    record_property("precision", counted.precision)
    record_property("recall", counted.recall)
    print(f"precision {counted.precision:.3f}, recall {counted.recall:.3f}")
    print("\n".join(counted.faults))
    assert counted.precision >= 0.97
    assert counted.recall >= 0.80


def test_passages_of_other_files_make_no_difference() -> None:
    everything = [text for domain in ALL for text in ALL[domain]["passages"].values()]
    names = [(domain, name) for domain in ALL for name in ALL[domain]["passages"]]
    evidence, right, wrong = Evidence(everything), 0, 0
    for domain in ALL:
        for row in rows(domain):
            cited = {names[number] for number in evidence.supports(row.sentence)}
            meant = {(domain, name) for name in row.rests_on}
            right += len(cited & meant)
            wrong += len(cited - meant)
    assert right / (right + wrong) >= 0.97
    assert right > 100


@pytest.mark.parametrize(
    "sentence", ["", " ", "?", "...", "7", "【0:0†a.md】", "x" * 5000, "The the the.", "- ", "**"]
)
def test_what_says_nothing_rests_on_nothing(sentence: str) -> None:
    passages = [text for domain in ALL for text in ALL[domain]["passages"].values()]
    assert Evidence(passages).supports(sentence) == ()


@given(st.text(max_size=60), st.lists(st.text(max_size=80), max_size=4))
def test_no_text_breaks_it(sentence: str, passages: list[str]) -> None:
    first = Evidence(passages).supports(sentence)
    assert all(0 <= number < len(passages) for number in first)
    assert Evidence(passages).supports(sentence) == first


@pytest.mark.parametrize(
    ("passage", "sentence", "is_said"),
    [
        ("员工每年有28天带薪假期。狗不可以进入大楼。", "员工每年有28天带薪假期。", True),
        ("员工每年有28天带薪假期。狗不可以进入大楼。", "员工每年有30天带薪假期。", False),
        ("员工每年有28天带薪假期。狗不可以进入大楼。", "狗不可以进入大楼。", True),
        ("员工每年有28天带薪假期。狗不可以进入大楼。", "狗可以进入大楼。", False),
        ("事務所は7時30分に開きます。犬は入れません。", "事務所は7時30分に開きます。", True),
        ("事務所は7時30分に開きます。犬は入れません。", "事務所は8時30分に開きます。", False),
        ("L'entrée coûte 9 euros. Les chiens n'entrent pas.", "L'entrée coûte 9 euros.", True),
        ("La entrada cuesta 9 euros los lunes.", "La entrada no cuesta 9 euros.", False),
        ("La entrada cuesta 9 euros los lunes.", "La entrada cuesta 9 euros.", True),
    ],
)
def test_in_other_languages_what_is_said_word_for_word_is_found(
    passage: str, sentence: str, is_said: bool
) -> None:
    assert bool(Evidence([passage]).supports(sentence)) is is_said


@pytest.mark.parametrize("sentence", [row.sentence for row in rows("handbook")[:31]])
def test_a_sentence_rests_on_itself(sentence: str) -> None:
    assert tuple(Evidence(["", "Something else.", sentence]).supports(sentence)) == (2,)
