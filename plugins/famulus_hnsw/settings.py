"""The settings of approximate search."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from famulus import setting
from famulus_indexes.settings import IndexSettings


class HnswSettings(IndexSettings, frozen=True, kw_only=True):
    """Table `[plugins.hnsw]`."""

    exact_chunks_max: Annotated[
        int,
        Meta(ge=0),
        setting(
            why="Chunks among which all are compared: of a store, of what passes a filter, and of "
            "what came after the graph was built. Up to here that is about as quick."
        ),
    ] = 10_000
    links: Annotated[
        int,
        Meta(ge=2, le=100),
        setting(why="Links of a chunk in the graph (M); more find better and take more memory."),
    ] = 16
    build_width: Annotated[
        int,
        Meta(ge=10),
        setting(why="Candidates looked at for each link (ef_construction); more build slower."),
    ] = 200
    search_width: Annotated[
        int,
        Meta(ge=10),
        setting(why="Candidates looked at in a search (ef); more find better, and slower."),
    ] = 128
    candidates_max: Annotated[
        int,
        Meta(ge=10),
        setting(
            why="Chunks that are fetched from the graph because a filter may refuse most of them; "
            "where more were needed, all that pass are compared."
        ),
    ] = 2000
    build_threads: Annotated[
        int,
        Meta(ge=1),
        setting(why="Threads of the process that builds a graph, at the lowest priority."),
    ] = 1
    removed_max: Annotated[
        float,
        Meta(gt=0, le=1),
        setting(
            why="Part of a graph that may have been removed from the store before it is built "
            "anew; searches pass over it."
        ),
    ] = 0.25
    answer_s: Annotated[
        float,
        Meta(gt=0),
        setting(why="Seconds for one answer of the process that searches; then it is ended."),
    ] = 5.0
    load_s: Annotated[
        float, Meta(gt=0), setting(why="Seconds to check and read a graph's file.")
    ] = 120.0
    retry_s: Annotated[
        float,
        Meta(ge=0),
        setting(why="Seconds after which a graph that could not be built is tried again."),
    ] = 300.0
