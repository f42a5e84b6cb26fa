"""Whether questions find what answers them: by words, by vectors of each embedder, by both."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, ClassVar

import msgspec
from corpus import Corpus, Question, build, joined
from harness import Figures, Options, Row, Table, Target
from judged import judged

from famulus import NoSettings, Plugin, need
from famulus.testing import kernel_with
from famulus_schemas.ports import EMBEDDER, VECTORS
from famulus_schemas.retrieval import Embedder, Entry, Hit, StoreState, Vectors
from famulus_vector_stores import scoring

ABOUT = "retrieval_quality: questions that find the passages that answer them"

DEFAULT = "famulus-lexical-1"
SENTENCES = "all-minilm-l6-v2"
PROJECT = "bench"
FOUND_MAX = 10
LOOKED_AT = 50
"""Of each list that is fused; what file search takes, or more."""
RRF = 60
"""Of reciprocal rank fusion: how much the first places count more than those after them."""
SECTIONS = 4
"""Of a document, that make a long passage."""
TEXTS = 128
QUICK_QUESTIONS = 4


class Finder(Plugin[NoSettings]):
    """Needs what vector stores need."""

    name: ClassVar[str] = "finder"
    embedder = need(EMBEDDER)
    vectors = need(VECTORS)


class Shelf(msgspec.Struct):
    """Stores in memory, one an embedder: what VECTORS makes its indexes from."""

    entries_of: dict[str, list[Entry]] = {}

    async def generation(self, project: str, store: str) -> int:
        """One, and never another."""
        return 1 if store in self.entries_of else -1

    async def state(self, project: str, store: str) -> StoreState:
        """One document of all passages."""
        entries = self.entries_of.get(store, [])
        size = len(entries[0].vector) // 4 if entries else 0
        return StoreState(generation=1, dimensions=size, documents={"all": {}} if entries else {})

    async def entries(
        self, project: str, store: str, document: str
    ) -> AsyncIterator[Sequence[Entry]]:
        """The passages, some at a time."""
        entries = self.entries_of[store]
        for start in range(0, len(entries), TEXTS):
            yield entries[start : start + TEXTS]


def run(options: Options) -> list[Table]:
    """Two tables: of passages as they are, and of longer ones."""
    short = build(questions=QUICK_QUESTIONS) if options.quick else build()
    views = {
        "Short passages": short,
        f"Long passages, {SECTIONS} of the short ones each": joined(short, SECTIONS),
    }
    return [asyncio.run(_table(title, corpus, options)) for title, corpus in views.items()]


async def _table(title: str, corpus: Corpus, options: Options) -> Table:
    async with _served(options) as (embedder, vectors, models):
        shelf = Shelf()
        vectors.use(shelf)
        figures: dict[str, Figures] = {}
        for model in models:
            began = time.process_time()
            await _fill(shelf, corpus, embedder, model)
            spent_ms = (time.process_time() - began) * 1000 / len(corpus.passages)
            figures |= await _asked(corpus, embedder, vectors, shelf.entries_of[model], model)
            figures[f"{model}, vectors"]["embed_ms"] = spent_ms
    characters = sum(len(one.text) for one in corpus.passages) // len(corpus.passages)
    return Table(
        title=f"{title}: {len(corpus.passages):,} of about {characters} characters, "
        f"{len(corpus.held_out)} held-out questions",
        unit="nDCG@10",
        rows=_rows(figures),
        note="`embed_ms` is CPU for a passage. Both: reciprocal rank fusion of the two lists. As "
        "stores rank: by the score that a search of a vector store answers.",
    )


def _rows(figures: Mapping[str, Figures]) -> list[Row]:
    floor = figures[WORDS]["ndcg_10"]
    return [
        Row(
            name=name,
            figures=[found["ndcg_10"]],
            ratios=[found["ndcg_10"] / floor],
            target=Target(">=", 1.0) if name.endswith(("both", AS_STORES)) else None,
            beside={key: value for key, value in found.items() if key != "ndcg_10"},
        )
        for name, found in figures.items()
    ]


@asynccontextmanager
async def _served(
    options: Options,
) -> AsyncIterator[tuple[Embedder, Vectors, list[str]]]:
    """A server of the real plugins, and the models that it can embed with."""
    with tempfile.TemporaryDirectory(dir=options.folder) as data:
        async with kernel_with(
            "builtin",
            "sentences",
            "models",
            "embeddings",
            "exact_vectors",
            Finder,
            data_dir=Path(data),
        ) as server:
            finder: Any = server.plugin("finder")
            has_sentences = server.state("sentences")[0] == "running" and not options.quick
            models = [DEFAULT, SENTENCES] if has_sentences else [DEFAULT]
            yield finder.embedder, finder.vectors, models


async def _fill(shelf: Shelf, corpus: Corpus, embedder: Embedder, model: str) -> None:
    texts = [passage.text for passage in corpus.passages]
    vectors = await embedder.embed(texts, model=model, role="passage")
    shelf.entries_of[model] = [
        Entry(number=number, text=text, vector=vector)
        for number, (text, vector) in enumerate(zip(texts, vectors, strict=True))
    ]


WORDS = "words (BM25)"
AS_STORES = "as stores rank"


async def _asked(
    corpus: Corpus, embedder: Embedder, vectors: Vectors, entries: Sequence[Entry], model: str
) -> dict[str, Figures]:
    """Figures of words, of the model's vectors, of both, and of what a vector store answers."""
    questions = corpus.held_out
    texts = [question.text for question in questions]
    asked = await embedder.embed(texts, model=model, role="query")
    words, nearest, both, scored = [], [], [], []
    for question, vector in zip(questions, asked, strict=True):
        by_words = await vectors.matching(
            PROJECT, model, question.text, where=None, limit=LOOKED_AT
        )
        by_vector = await vectors.nearest(PROJECT, model, vector, where=None, limit=LOOKED_AT)
        words.append(_numbers(by_words))
        nearest.append(_numbers(by_vector))
        both.append(fused(words[-1], nearest[-1]))
        scored.append(_scored(question.text, vector, by_vector, by_words, entries))
    return {
        WORDS: _figures(questions, words),
        f"{model}, vectors": _figures(questions, nearest),
        f"{model}, both": _figures(questions, both),
        f"{model}, {AS_STORES}": _figures(questions, scored),
    }


def _numbers(hits: Sequence[Hit]) -> list[int]:
    return [hit.number for hit in hits]


def fused(*lists: Sequence[int]) -> list[int]:
    """Reciprocal rank fusion: best is what stands high in several lists."""
    scores: dict[int, float] = defaultdict(float)
    for one in lists:
        for rank, number in enumerate(one, 1):
            scores[number] += 1 / (RRF + rank)
    return sorted(scores, key=lambda number: -scores[number])


def _scored(
    query: str,
    vector: bytes,
    by_vector: Sequence[Hit],
    by_words: Sequence[Hit],
    entries: Sequence[Entry],
) -> list[int]:
    """The candidates as famulus_vector_stores ranks them."""
    places: dict[int, list[int]] = defaultdict(list)
    for hits in (by_vector, by_words):
        for place, hit in enumerate(hits, 1):
            places[hit.number].append(place)
    words = scoring.words_of(query)
    scores = {}
    for number, found in places.items():
        entry = entries[number]
        near = scoring.relevance(
            scoring.cosine(vector, entry.vector), scoring.share(words, entry.text)
        )
        scores[number] = scoring.score(near, scoring.rank(found, 2))
    pool = sorted(places, key=lambda number: -scoring.rank(places[number], 2))[:LOOKED_AT]
    return sorted(pool, key=lambda number: -scores[number])


def _figures(questions: Sequence[Question], found: Sequence[Sequence[int]]) -> Figures:
    pairs = zip(found, questions, strict=True)
    return judged([(numbers[:FOUND_MAX], question.answers) for numbers, question in pairs])
