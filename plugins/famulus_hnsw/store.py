"""One store, searched by a graph of its vectors where it is large and has one."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from famulus.hands import Hands
from famulus.log import Log
from famulus_hnsw.graph_file import SHIFT, GraphKey, graph_path, remove_graph
from famulus_hnsw.graphs import Graphs
from famulus_hnsw.questions import Loaded, Nearest, Search
from famulus_hnsw.searcher import WAIT_S, Busy, Gone
from famulus_indexes.filtering import Flags
from famulus_indexes.matrix import Found, Vectors
from famulus_indexes.store import Held, StoreIndex, View
from famulus_schemas.retrieval import StoreState

SPARE: Final = 1.5
"""More is fetched from a graph than should pass on average: what passes may lie elsewhere."""


class Graph(NamedTuple):
    """A graph that is open in the process that searches them."""

    number: int
    life: int
    """Of the process; it is gone with it."""
    documents: Flags
    """Whose chunks are in it; the last flag, which -1 points to, is never set."""
    chunks: int
    """Those that can be found in it."""


class Tail(NamedTuple):
    """How what is searched differs from a graph."""

    view: View
    graph: Graph
    rows: NDArray[np.int64]
    """What the graph lacks."""
    stale: int
    """Chunks that it has and the store has not, any more."""


class HnswStore(StoreIndex):
    """A StoreIndex that has graphs read and built."""

    def __init__(
        self, path: Path, *, graphs: Graphs, threads: Hands, words_max: int, log: Log
    ) -> None:
        super().__init__(path, threads=threads, words_max=words_max, log=log)
        self._graphs = graphs
        self._settings = graphs.settings
        self._graph: Graph | None = None
        self._tail: Tail | None = None
        self._not_before = 0.0

    # -- having a graph ---------------------------------------------------------------------------

    def key(self) -> GraphKey | None:
        """What a graph of the store must have been built from; None where it is closed."""
        view = self._view
        if view is None:
            return None
        return GraphKey(
            mark=view.file.mark,
            dimensions=view.file.dimensions,
            links=self._settings.links,
            build_width=self._settings.build_width,
        )

    def has_graph(self) -> bool:
        """Whether there is a graph to search, be it an old one."""
        graph = self._graph
        return graph is not None and graph.life == self._graphs.searcher.lives

    def lacks_graph(self) -> bool:
        """Whether a graph should be read or built."""
        view = self._view
        most = self._settings.exact_chunks_max
        if view is None or view.rows.there <= most or time.monotonic() < self._not_before:
            return False
        if not self.has_graph():
            return True
        tail = self._differs(view, self._graph)
        return len(tail.rows) > most or tail.stale > self._settings.removed_max * tail.graph.chunks

    def take(self, number: int, key: GraphKey, loaded: Loaded) -> bool:
        """Search this graph from now on; False where it is that of a file that is gone."""
        if key != self.key():
            return False
        before = self._graph
        documents = np.array(loaded.documents, np.int64)
        flags = np.zeros(int(documents.max(initial=-1)) + 2, np.bool_)
        flags[documents] = True
        life = self._graphs.searcher.lives
        self._graph = Graph(number, life, flags, loaded.chunks - loaded.removed)
        if before is not None:
            self._graphs.drop(before.number)
        return True

    def postpone(self, seconds: float) -> None:
        """Do without a graph for so long."""
        self._not_before = time.monotonic() + seconds

    def _show(self, held: Held, state: StoreState) -> None:
        super()._show(held, state)
        self._graphs.consider(self)

    def _close(self) -> None:
        super()._close()
        graph, self._graph, self._tail = self._graph, None, None
        if graph is not None:
            self._graphs.drop(graph.number)

    def _discard(self) -> None:
        super()._discard()
        remove_graph(graph_path(self.path))

    # -- searching --------------------------------------------------------------------------------

    def _nearest(self, view: View, query: Vectors, passing: Flags | None, limit: int) -> Found:
        rows = None if passing is None else view.rows.passing(passing)
        there = view.rows.there if rows is None else len(rows)
        graph = self._graph
        if there > self._settings.exact_chunks_max and graph is not None:
            flags = view.documents.listed if passing is None else passing
            found = self._by_graph(
                view, graph, query, flags, share=there / view.rows.there, limit=limit
            )
            if found is not None and len(found.scores) >= min(limit, there):
                return found
        if rows is not None:
            return view.rows.scored(rows, query).best(limit)
        return view.rows.nearest(query, None, limit)

    def _by_graph(
        self, view: View, graph: Graph, query: Vectors, flags: Flags, *, share: float, limit: int
    ) -> Found | None:
        """What a graph and the rows that it lacks have; None where it cannot be asked."""
        tail = self._differs(view, graph)
        share *= max(0.0, 1 - tail.stale / max(1, graph.chunks))
        if not share or limit > share * self._settings.candidates_max / SPARE:
            return None
        count = limit if share == 1 else math.ceil(limit / share * SPARE)
        question = Search(
            number=graph.number,
            vector=query.tobytes(),
            count=count,
            width=self._settings.search_width,
        )
        if not self.has_graph():
            self._graphs.consider(self)
            return None
        try:
            answer = self._graphs.searcher.ask(
                question, answer_s=self._settings.answer_s, wait_s=WAIT_S
            )
        except Busy:
            return None
        except Gone as error:
            self._graphs.failed(self, error)
            return None
        if not isinstance(answer, Nearest):
            return None
        self._graphs.answered += 1
        labels = np.frombuffer(answer.labels, np.int64)
        documents, numbers = labels >> SHIFT, labels & ((1 << SHIFT) - 1)
        scores = 1 - np.frombuffer(answer.distances, np.float32)
        kept = flags[np.minimum(documents, len(flags) - 1)]
        found = Found(documents[kept], numbers[kept], scores[kept])
        late = tail.rows[flags[view.rows.documents[tail.rows]]]
        return found.joined(view.rows.scored(late, query)).best(limit)

    def _differs(self, view: View, graph: Graph | None) -> Tail:
        assert graph is not None
        tail = self._tail
        if tail is None or tail.view is not view or tail.graph is not graph:
            documents = view.rows.documents
            known = graph.documents[np.minimum(documents, len(graph.documents) - 1)]
            rows = np.flatnonzero((documents >= 0) & ~known)
            stale = graph.chunks - (view.rows.there - len(rows))
            tail = self._tail = Tail(view, graph, rows, max(0, stale))
        return tail
