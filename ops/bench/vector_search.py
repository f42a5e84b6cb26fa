"""Searching a vector store through the port, against numpy with the vectors in its hands."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Any

import numpy as np
from harness import Figures, Options, Rounds, Row, Table, Target, column, ratios, row
from numpy.typing import NDArray

from famulus import NoSettings, Plugin, need
from famulus.testing import kernel_with
from famulus_schemas.ports import VECTORS
from famulus_schemas.retrieval import Comparison, Entry, Hit, Predicate, StoreState, Vectors

ABOUT = "vector_search: 384 dimensions, clustered, the best 10, one search at a time"
DIMENSIONS = 384
CLUSTERS = 1000
PER_DOCUMENT = 20
WORDS = 30
LIMIT = 10
QUERIES = 40
ONE_PERCENT = Comparison(op="eq", key="part", value=0.0)
TEN_PERCENT = Comparison(op="lt", key="part", value=10.0)

Matrix = NDArray[np.float32]
Search = Callable[[int], Awaitable[Any]]


class User(Plugin[NoSettings]):
    """Searches vectors."""

    name = "user"
    vectors = need(VECTORS)


class Corpus:
    """A store of so many chunks, always the same ones, and queries like them."""

    def __init__(self, chunks: int) -> None:
        chance = np.random.default_rng(chunks)
        self._centres = chance.normal(size=(CLUSTERS, DIMENSIONS)).astype(np.float32)
        self.vectors = self._around(chance, chunks)
        self.queries = self._around(chance, QUERIES)
        words = np.minimum(chance.zipf(1.3, size=(chunks, WORDS)), 50_000)
        self._texts = [" ".join(f"w{word}" for word in each) for each in words.tolist()]
        self.asked = [
            " ".join(f"w{word}" for word in each[:6]) for each in words[:QUERIES].tolist()
        ]
        self._documents = {
            f"{number}": {"part": float(number % 100)}
            for number in range(-(-chunks // PER_DOCUMENT))
        }
        parts = np.arange(chunks) // PER_DOCUMENT % 100
        self.passing = {id(ONE_PERCENT): parts == 0, id(TEN_PERCENT): parts < 10}

    def _around(self, chance: np.random.Generator, count: int) -> Matrix:
        rows = self._centres[chance.integers(0, CLUSTERS, count)]
        rows = rows + 0.7 * chance.normal(size=rows.shape).astype(np.float32)
        found: Matrix = rows / np.linalg.norm(rows, axis=1, keepdims=True)
        return found

    def best(self, query: int, where: Predicate | None = None) -> NDArray[np.int64]:
        """The rows of the best chunks, by numpy."""
        rows = None if where is None else np.flatnonzero(self.passing[id(where)])
        vectors = self.vectors if rows is None else self.vectors[rows]
        # By one thread: several wait for each other on a busy machine, 100 times as long.
        scores = np.vecdot(vectors, self.queries[query])
        at = np.argpartition(scores, len(scores) - LIMIT)[-LIMIT:]
        at = at[np.argsort(-scores[at])]
        return at if rows is None else rows[at]

    def recall(self, query: int, hits: Sequence[Hit], where: Predicate | None = None) -> float:
        """Which part of the best was found."""
        found = {int(hit.document) * PER_DOCUMENT + hit.number for hit in hits}
        return len(found & set(self.best(query, where).tolist())) / LIMIT

    async def generation(self, project: str, store: str) -> int:
        """As VectorSource.generation."""
        return 1

    async def state(self, project: str, store: str) -> StoreState:
        """As VectorSource.state."""
        return StoreState(generation=1, dimensions=DIMENSIONS, documents=self._documents)

    async def entries(
        self, project: str, store: str, document: str
    ) -> AsyncIterator[Sequence[Entry]]:
        """As VectorSource.entries."""
        start = int(document) * PER_DOCUMENT
        rows = self.vectors[start : start + PER_DOCUMENT]
        yield [
            Entry(number=number, text=self._texts[start + number], vector=row.tobytes())
            for number, row in enumerate(rows)
        ]


def run(options: Options) -> list[Table]:
    """The middle of many searches by the wall, and how much of the best is found."""
    small, large = (1_000, 4_000) if options.quick else (10_000, 200_000)
    return [
        *asyncio.run(_measured(small, options, graph=False)),
        *asyncio.run(_measured(large, options, graph=True)),
    ]


async def _measured(chunks: int, options: Options, *, graph: bool) -> list[Table]:
    corpus = Corpus(chunks)
    name = "hnsw" if graph else "exact_vectors"
    folder = options.folder / str(chunks)
    folder.mkdir()
    settings = {"hnsw": {"exact_chunks_max": 1_000 if options.quick else 10_000}}
    async with kernel_with(
        *(name, User),
        data_dir=folder,
        settings=settings if graph else None,
        ports={"vectors": name},
    ) as server:
        vectors: Vectors = server.plugin("user").vectors
        vectors.use(corpus)
        began = time.monotonic()
        await _asked(vectors, corpus, None)(0)
        brought_in = time.monotonic() - began
        if not graph:
            return [_small(chunks, await _rounds(_cells(vectors, corpus), options), brought_in)]
        exact = await _rounds(
            _cells(vectors, corpus, unfiltered="exact, through the port"), options
        )
        built = await _until_built(server.plugin("hnsw"), vectors, corpus, began)
        found = await _rounds(
            _cells(vectors, corpus, unfiltered="graph, through the port"), options
        )
        recall = [corpus.recall(n, await _asked(vectors, corpus, None)(n)) for n in range(QUERIES)]
        return _large(chunks, exact, found, recall, brought_in, built)


async def _until_built(plugin: Any, vectors: Vectors, corpus: Corpus, began: float) -> float:
    graphs = plugin._graphs
    while not graphs.answered:
        assert not graphs.fault, graphs.fault
        await asyncio.sleep(0.5)
        await _asked(vectors, corpus, None)(0)
    return time.monotonic() - began


def _asked(vectors: Vectors, corpus: Corpus, where: Predicate | None) -> Search:
    async def search(number: int) -> Sequence[Hit]:
        query = corpus.queries[number].tobytes()
        return await vectors.nearest("p", "s", query, where=where, limit=LIMIT)

    return search


def _cells(
    vectors: Vectors, corpus: Corpus, *, unfiltered: str = "exact, through the port"
) -> dict[str, Search]:
    def numpy(where: Predicate | None) -> Search:
        async def search(number: int) -> NDArray[np.int64]:
            return corpus.best(number, where)

        return search

    async def matching(number: int) -> Sequence[Hit]:
        asked = corpus.asked[number]
        return await vectors.matching("p", "s", asked, where=None, limit=LIMIT)

    return {
        "numpy": numpy(None),
        unfiltered: _asked(vectors, corpus, None),
        "numpy, the 1 % that pass": numpy(ONE_PERCENT),
        "through the port, 1 % pass": _asked(vectors, corpus, ONE_PERCENT),
        "numpy, the 10 % that pass": numpy(TEN_PERCENT),
        "through the port, 10 % pass": _asked(vectors, corpus, TEN_PERCENT),
        "six words, through the port": matching,
    }


async def _rounds(cells: Mapping[str, Search], options: Options) -> Rounds:
    """As `harness.interleave`, within one process and its loop."""
    found: dict[str, list[Figures]] = {name: [] for name in cells}
    for _ in range(options.rounds):
        for name, search in cells.items():
            times = []
            for number in range(QUERIES):
                began = time.perf_counter()
                await search(number)
                times.append(1e6 * (time.perf_counter() - began))
            found[name].append({"p50_us": statistics.median(times), "max_us": max(times)})
    return found


def _row(found: Rounds, name: str, floor: str | None = None, target: Target | None = None) -> Row:
    return row(found, name, floor=floor, target=target, figure="p50_us", beside=["max_us"])


def _filtered(found: Rounds) -> list[Row]:
    rows = []
    for part in ("1 %", "10 %"):
        floor = f"numpy, the {part} that pass"
        rows += [_row(found, floor), _row(found, f"through the port, {part} pass", floor)]
    return rows


def _small(chunks: int, found: Rounds, brought_in: float) -> Table:
    return Table(
        title=f"{chunks:,} chunks: a search, by the wall",
        unit="p50 us",
        rows=[
            _row(found, "numpy"),
            _row(found, "exact, through the port", "numpy", Target("<=", 2)),
            *_filtered(found),
            _row(found, "six words, through the port"),
        ],
        note=f"Brought in within {brought_in:.1f} s. Every search is exact.",
    )


def _large(
    chunks: int,
    exact: Rounds,
    found: Rounds,
    recall: Sequence[float],
    brought_in: float,
    built: float,
) -> list[Table]:
    speed = ratios(
        column(found, "numpy", "p50_us"), column(found, "graph, through the port", "p50_us")
    )
    whole = Table(
        title=f"{chunks:,} chunks: a search, by the wall",
        unit="p50 us",
        rows=[
            _row(exact, "numpy"),
            _row(exact, "exact, through the port", "numpy", Target("<=", 1.5)),
            _row(found, "graph, through the port", "numpy"),
            Row(
                name="graph, through the port: numpy's time by its own",
                figures=speed,
                ratios=speed,
                target=Target(">=", 20),
            ),
            Row(
                name="graph, through the port: recall@10",
                figures=[statistics.mean(recall)],
                ratios=[statistics.mean(recall)],
                target=Target(">=", 0.98),
            ),
            *_filtered(found),
            _row(found, "six words, through the port"),
        ],
        note=f"Brought in within {brought_in:.0f} s, and the graph built within {built:.0f} s, by "
        "one thread, on a machine that did other things, too.",
    )
    return [whole]
