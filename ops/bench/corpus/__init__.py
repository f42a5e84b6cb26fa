"""Documents and questions whose answers are known, made from a seed: what retrieval is judged by.

Seven domains of invented facts. Each question is answered by one chunk, or by the few that it asks
for alike. Questions say things in other words than the chunks do, mostly: what they share are
names and numbers, which near-duplicates (another year's edition, the sister model, the same
clause of another contract) share too.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from random import Random

import msgspec

from corpus import code, contracts, handbooks, manuals, minutes, recipes, towns
from corpus.written import Document

SEED = 1
DOMAINS = {
    "handbooks": handbooks.documents,
    "manuals": manuals.documents,
    "contracts": contracts.documents,
    "minutes": minutes.documents,
    "recipes": recipes.documents,
    "code": code.documents,
    "towns": towns.documents,
}
QUESTIONS_A_DOMAIN = 60


class Passage(msgspec.Struct, frozen=True):
    """One chunk of a document."""

    domain: str
    title: str
    text: str


class Question(msgspec.Struct, frozen=True):
    """What somebody asks, and where the answer stands."""

    domain: str
    text: str
    answers: frozenset[int]
    """Places in `Corpus.passages`."""


class Corpus(msgspec.Struct, frozen=True):
    """All passages, and the questions in two halves that no passage is asked about in both."""

    passages: Sequence[Passage]
    tuning: Sequence[Question]
    """To choose by."""
    held_out: Sequence[Question]
    """To report."""


def build(seed: int = SEED, *, questions: int = QUESTIONS_A_DOMAIN) -> Corpus:
    """The corpus of a seed: always the same one."""
    passages: list[Passage] = []
    tuning: list[Question] = []
    held_out: list[Question] = []
    for domain, documents in DOMAINS.items():
        chance = Random(f"{seed}/{domain}")
        asked = list(_asked(domain, documents(chance), passages))
        chance.shuffle(asked)
        taken = list(_apart(asked))[:questions]
        tuning += taken[0::2]
        held_out += taken[1::2]
    return Corpus(passages, tuning, held_out)


def _asked(
    domain: str, documents: Iterator[Document], passages: list[Passage]
) -> Iterator[Question]:
    """All questions of a domain; its passages are added to the list."""
    answers: dict[str, set[int]] = defaultdict(set)
    for document in documents:
        for chunk in document.chunks:
            for text in chunk.asks:
                answers[text].add(len(passages))
            passages.append(Passage(domain, document.title, chunk.text))
    for text, places in answers.items():
        yield Question(domain, text, frozenset(places))


def _apart(questions: Sequence[Question]) -> Iterator[Question]:
    """At most one question to a passage, so that the halves have none in common."""
    used: set[int] = set()
    for question in questions:
        if used.isdisjoint(question.answers):
            used |= question.answers
            yield question


def joined(corpus: Corpus, passages_max: int) -> Corpus:
    """The same with longer passages: so many of a document's, one after the other, are one."""
    longer: list[Passage] = []
    place_of: list[int] = []
    size = 0
    for passage in corpus.passages:
        if longer and longer[-1].title == passage.title and size < passages_max:
            text = f"{longer[-1].text}\n\n{passage.text}"
            longer[-1] = Passage(passage.domain, passage.title, text)
            size += 1
        else:
            longer.append(passage)
            size = 1
        place_of.append(len(longer) - 1)

    def moved(questions: Sequence[Question]) -> list[Question]:
        return [
            Question(one.domain, one.text, frozenset(place_of[place] for place in one.answers))
            for one in questions
        ]

    return Corpus(longer, moved(corpus.tuning), moved(corpus.held_out))
