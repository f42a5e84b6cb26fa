"""What the server asks of the processes that build and search graphs, and what these answer."""

from __future__ import annotations

import msgspec

from famulus_hnsw.graph_file import GraphKey


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """What to build; read by the process that does, from its input."""

    store: str
    """The file with the store's vectors."""
    graph: str
    key: GraphKey
    threads: int
    removed_max: float


class Load(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Read a graph, and search it under this number from now on."""

    number: int
    graph: str
    key: GraphKey


class Search(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The nearest to a vector."""

    number: int
    vector: bytes
    count: int
    width: int


class Drop(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Let go of a graph."""

    number: int


Question = Load | Search | Drop


class Loaded(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """What a graph holds."""

    documents: list[int]
    chunks: int
    removed: int


class Nearest(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Labels and distances, each as it lies in memory."""

    labels: bytes
    distances: bytes


class Dropped(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """It is let go of."""


class Refused(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """It cannot be done."""

    reason: str


Answer = Loaded | Nearest | Dropped | Refused
