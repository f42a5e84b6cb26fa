"""A graph on the disk: the library's own file, and beside it what says that it is whole.

The library overwrites its file in place, and a damaged one may end the process that reads it. So it
is written beside its place and renamed, and nothing of it is read before its sum is right.
"""

from __future__ import annotations

import os
from hashlib import file_digest
from pathlib import Path
from typing import Final

import msgspec

FORM: Final = 1
UNPLACED: Final = ".new"
SHIFT: Final = 32
"""A label is the number of a chunk's document, and below that many bits its place there."""


class GraphKey(msgspec.Struct, frozen=True, kw_only=True):
    """What a graph must have been built from, and how, to be the one that is wanted."""

    mark: str
    """That of the file with the store's vectors."""
    dimensions: int
    links: int
    build_width: int


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What a graph's file holds."""

    form: int
    key: GraphKey
    sha256: str
    chunks: int
    """All labels, also those of documents that were removed since."""
    removed: int
    documents: list[int]
    """Whose chunks can be found in it."""


class Unusable(Exception):
    """There is no such graph, or it is not what we wrote."""


def graph_path(store: Path) -> Path:
    """The graph of the store whose vectors are in this file."""
    return store.with_suffix(".hnsw")


def manifest_path(graph: Path) -> Path:
    """What says that a graph is whole."""
    return graph.with_suffix(".hnsw.json")


def checked(graph: Path, key: GraphKey) -> Manifest:
    """What a graph's file holds, once it is sure that it does. Raises Unusable."""
    try:
        manifest = msgspec.json.decode(manifest_path(graph).read_bytes(), type=Manifest)
        if (manifest.form, manifest.key) != (FORM, key):
            raise Unusable("it was built from something else, or in another way")
        if sum_of(graph) != manifest.sha256:
            raise Unusable("its sum is another one")
    except (OSError, msgspec.DecodeError) as error:
        raise Unusable(str(error)) from error
    return manifest


def sum_of(path: Path) -> str:
    """The SHA-256 of a file."""
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()


def place(written: Path, path: Path) -> None:
    """Put a file that was written beside its place there, durably."""
    for each in (written, written.parent):
        descriptor = os.open(each, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        if each == written:
            os.rename(written, path)


def remove_graph(graph: Path) -> None:
    """Remove a graph and what is beside it."""
    for path in (graph, manifest_path(graph)):
        path.unlink(missing_ok=True)
    remove_unplaced(graph)


def unplaced(path: Path) -> Path:
    """Where this process writes a file before it is in its place."""
    return path.with_name(f"{path.name}.{os.getpid()}{UNPLACED}")


def remove_unplaced(graph: Path) -> None:
    """Remove what processes left that died while they wrote this graph."""
    for path in graph.parent.glob(f"{graph.name}*{UNPLACED}"):
        path.unlink(missing_ok=True)
