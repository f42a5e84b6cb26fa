"""The settings of vector stores."""

from __future__ import annotations

from typing import Annotated

import msgspec

from famulus import Settings, setting

Positive = msgspec.Meta(ge=1)


class VectorStoresSettings(Settings, frozen=True):
    """Table `[plugins.vector_stores]`."""

    files_per_create_max: Annotated[
        int, Positive, setting(why="Files that a new store may begin with.")
    ] = 500
    files_per_batch_max: Annotated[
        int, Positive, setting(why="Files that may be added at once, as they are in one commit.")
    ] = 2000
    files_per_store_max: Annotated[int, Positive, setting(why="Files of one store.")] = 10_000
    stores_per_file_max: Annotated[
        int, Positive, setting(why="Stores that one file may be in: it leaves all in one commit.")
    ] = 1000
    chunks_per_file_max: Annotated[
        int, Positive, setting(why="Chunks that one file may be cut into; one with more fails.")
    ] = 50_000
    tokens_per_file_max: Annotated[
        int, Positive, setting(why="Tokens of one file; one with more fails.")
    ] = 5_000_000
    attaches_per_minute_max: Annotated[
        int, Positive, setting(why="Times a minute that files, or batches, are added to a store.")
    ] = 300
    ingestions_at_once_max: Annotated[
        int, Positive, setting(why="Files that are read and embedded at the same time.")
    ] = 4
    attempts_max: Annotated[
        int, Positive, setting(why="Times that a file is tried which the server fails at.")
    ] = 6
    retry_s: Annotated[
        float,
        setting(why="Seconds before a file is tried again; twice as many each time after."),
    ] = 1.0
    retry_s_max: Annotated[float, setting(why="The most seconds between two tries.")] = 60.0
    texts_per_embedding_max: Annotated[
        int, Positive, setting(why="Chunks that are embedded, and then committed, at once.")
    ] = 64
    clearings_at_once_max: Annotated[
        int, Positive, setting(why="Files and stores whose chunks are removed at the same time.")
    ] = 2
    content_page_bytes: Annotated[
        int, Positive, setting(why="Text of a file that is answered on one page.")
    ] = 1_048_576
    queries_max: Annotated[int, Positive, setting(why="Queries of one search.")] = 32
    query_characters_max: Annotated[int, Positive, setting(why="Length of one query.")] = 16_384
    filter_depth_max: Annotated[
        int, Positive, setting(why="Levels to which filters may be nested.")
    ] = 8
    filter_terms_max: Annotated[
        int, Positive, setting(why="Comparisons and values in a filter.")
    ] = 64
    use_noted_s: Annotated[
        int, setting(why="Seconds after a use before another one is noted by a commit.")
    ] = 60
    sweep_s: Annotated[
        float, setting(why="Seconds between looking for stores that have expired.")
    ] = 300.0
    poll_after_ms: Annotated[int, setting(why="How soon the SDKs' polling helpers ask again.")] = (
        100
    )
    finish_s: Annotated[
        float, setting(why="Seconds a stop waits for files that are being read.")
    ] = 5.0
