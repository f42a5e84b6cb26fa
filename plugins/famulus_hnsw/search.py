"""The process that searches graphs: `python -P -m famulus_hnsw.search SOCKET`.

It is a process of its own, as the library lets no other thread run while it reads a file, and so
that a fault in it ends this process and not the server.
"""

from __future__ import annotations

import sys
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from famulus_hnsw.graph_file import Unusable, checked
from famulus_hnsw.questions import (
    Answer,
    Drop,
    Dropped,
    Load,
    Loaded,
    Nearest,
    Question,
    Refused,
    Search,
)


class Graphs:
    """The graphs that are open."""

    def __init__(self) -> None:
        self._open: dict[int, tuple[Any, int]] = {}
        """The graph of each number, and how many of its chunks can be found."""

    def answer(self, question: Question) -> Answer:
        """Do what is asked."""
        if isinstance(question, Load):
            return self._load(question)
        if isinstance(question, Drop):
            self._open.pop(question.number, None)
            return Dropped()
        return self._search(question)

    def _load(self, asked: Load) -> Answer:
        import hnswlib

        graph = Path(asked.graph)
        try:
            manifest = checked(graph, asked.key)
        except Unusable as error:
            return Refused(reason=str(error))
        index = hnswlib.Index(space="ip", dim=asked.key.dimensions)
        index.load_index(asked.graph)
        self._open[asked.number] = index, manifest.chunks - manifest.removed
        return Loaded(
            documents=manifest.documents, chunks=manifest.chunks, removed=manifest.removed
        )

    def _search(self, asked: Search) -> Answer:
        if asked.number not in self._open:
            return Refused(reason="there is no such graph")
        index, there = self._open[asked.number]
        # More than there are cannot be asked for.
        count = min(asked.count, there)
        if not count:
            return Nearest(labels=b"", distances=b"")
        index.set_ef(max(asked.width, count))
        query = np.frombuffer(asked.vector, np.float32)
        try:
            labels, distances = index.knn_query(query, k=count, num_threads=1)
        except RuntimeError as error:
            return Refused(reason=str(error))
        return Nearest(
            labels=labels[0].astype(np.int64).tobytes(),
            distances=distances[0].astype(np.float32).tobytes(),
        )


def main() -> None:
    """Answer until nobody asks any more."""
    connection = Connection(int(sys.argv[1]))
    graphs = Graphs()
    encode, decode = msgspec.msgpack.encode, msgspec.msgpack.Decoder(Question).decode
    while True:
        try:
            question = connection.recv_bytes()
        except (EOFError, ConnectionError):
            return
        connection.send_bytes(encode(graphs.answer(decode(question))))


if __name__ == "__main__":
    main()
