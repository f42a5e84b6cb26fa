"""Where the database is, and how stores are searched in it."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from famulus import Secret, Settings, setting


class PgvectorSettings(Settings, frozen=True, kw_only=True):
    """Table `[plugins.pgvector]`."""

    dsn: Annotated[
        Secret | None,
        setting(why="postgresql://user:password@host:port/database; without it, off."),
    ] = None
    schema: Annotated[
        str,
        Meta(pattern=r"^[a-z_][a-z0-9_]{0,62}\Z"),
        setting(why="Keeps our tables apart from others in the same database."),
    ] = "famulus_vectors"
    pool_max: Annotated[
        int,
        Meta(ge=2),
        setting(why="Connections; up to half of them bring in, further work waits for one."),
    ] = 8
    connect_s: Annotated[float, Meta(gt=0), setting(why="Opening one connection.")] = 5.0
    statement_s: Annotated[
        float, Meta(gt=0), setting(why="One statement, the building of indexes left out.")
    ] = 30.0
    build_s: Annotated[
        float, Meta(gt=0), setting(why="Building the index of one store, or migrating.")
    ] = 3600.0
    exact_chunks_max: Annotated[
        int,
        Meta(ge=0),
        setting(
            why="Chunks among which all are compared, of a store or of what passes a filter; a "
            "larger store gets an index."
        ),
    ] = 10_000
    links: Annotated[
        int, Meta(ge=2, le=100), setting(why="Links of a chunk in an index (pgvector's m).")
    ] = 16
    build_width: Annotated[
        int,
        Meta(ge=4, le=1000),
        setting(why="Candidates looked at for each link (pgvector's ef_construction)."),
    ] = 200
    build_memory_mb: Annotated[
        int,
        Meta(ge=1),
        setting(why="Memory of the server for building an index; without enough it is slow."),
    ] = 512
    search_width: Annotated[
        int,
        Meta(ge=1, le=1000),
        setting(why="Candidates looked at in an index (hnsw.ef_search); more find better."),
    ] = 128
    query_words_max: Annotated[
        int,
        Meta(ge=1),
        setting(why="Words of a query that are looked for, the first ones; each costs time."),
    ] = 64
    changed_max: Annotated[
        int,
        Meta(ge=1),
        setting(why="Stores that wait to be brought in after a change; others are when searched."),
    ] = 10_000
