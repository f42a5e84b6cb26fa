"""The process that builds a graph: `python -P -m famulus_hnsw.build`, told what by its input.

It is a process of its own, at the lowest priority, as building takes minutes, and as the library
lets no other thread run while it reads or writes a file.
"""

from __future__ import annotations

import os
import sqlite3
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np

from famulus_hnsw.graph_file import (
    FORM,
    SHIFT,
    Manifest,
    Unusable,
    checked,
    manifest_path,
    place,
    remove_unplaced,
    sum_of,
    unplaced,
)
from famulus_hnsw.questions import Task
from famulus_indexes.file import about_of, pieces_of
from famulus_indexes.matrix import Numbers, Vectors

ADDED_AT_ONCE: Final = 1000


class Left(Exception):
    """Whoever asked for the graph is gone."""


def build(task: Task) -> Manifest:
    """Build a graph of all vectors that are there, from the one before if that is possible."""
    parent = os.getppid()
    remove_unplaced(Path(task.graph))
    connection = sqlite3.connect(f"{Path(task.store).as_uri()}?mode=ro", uri=True)
    try:
        # One transaction, so that documents and pieces belong together.
        connection.execute("begin")
        _, dimensions, mark = about_of(connection)
        if (dimensions, mark) != (task.key.dimensions, task.key.mark):
            raise Unusable("the store's file is another one by now")
        [(count,)] = connection.execute("select coalesce(sum(length(numbers)), 0) / 8 from piece")
        known = {id for (id,) in connection.execute("select id from document where is_whole")}
        index, covered, removed = _begun(task, known, capacity=count)
        for labels, vectors in _batches(connection, dimensions, covered):
            if os.getppid() != parent:
                raise Left
            index.add_items(vectors, labels, num_threads=task.threads)
    finally:
        connection.close()
    return _kept(task, index, known, removed)


def _begun(task: Task, known: set[int], *, capacity: int) -> tuple[Any, set[int], int]:
    """The graph of before without what is gone, or an empty one; what it has, and what it hides."""
    import hnswlib

    graph = Path(task.graph)
    index = hnswlib.Index(space="ip", dim=task.key.dimensions)
    try:
        before = checked(graph, task.key)
    except Unusable:
        before = None
    if before is not None:
        gone = np.array(sorted(set(before.documents) - known), np.int64)
        index.load_index(str(graph), max_elements=before.chunks + capacity)
        labels = np.array(index.get_ids_list(), np.int64)
        hidden = labels[np.isin(labels >> SHIFT, gone)]
        removed = before.removed + len(hidden)
        if removed <= task.removed_max * before.chunks:
            for label in hidden.tolist():
                index.mark_deleted(label)
            return index, known & set(before.documents), removed
        index = hnswlib.Index(space="ip", dim=task.key.dimensions)
    index.init_index(
        max_elements=max(1, capacity), M=task.key.links, ef_construction=task.key.build_width
    )
    return index, set(), 0


def _batches(
    connection: sqlite3.Connection, dimensions: int, covered: set[int]
) -> Iterator[tuple[Numbers, Vectors]]:
    labels: list[Numbers] = []
    vectors: list[Vectors] = []
    count = 0
    for piece in pieces_of(connection, dimensions):
        if piece.document in covered:
            continue
        labels.append((piece.document << SHIFT) | piece.numbers)
        vectors.append(piece.vectors)
        count += len(piece.numbers)
        if count >= ADDED_AT_ONCE:
            yield np.concatenate(labels), np.concatenate(vectors)
            labels, vectors, count = [], [], 0
    if count:
        yield np.concatenate(labels), np.concatenate(vectors)


def _kept(task: Task, index: Any, documents: set[int], removed: int) -> Manifest:
    graph = Path(task.graph)
    index.save_index(str(unplaced(graph)))
    manifest = Manifest(
        form=FORM,
        key=task.key,
        sha256=sum_of(unplaced(graph)),
        chunks=index.element_count,
        removed=removed,
        documents=sorted(documents),
    )
    place(unplaced(graph), graph)
    told = manifest_path(graph)
    unplaced(told).write_bytes(msgspec.json.encode(manifest))
    place(unplaced(told), told)
    return manifest


def main() -> None:
    """Build what the input says."""
    os.nice(19)
    build(msgspec.json.decode(sys.stdin.buffer.read(), type=Task))


if __name__ == "__main__":
    main()
