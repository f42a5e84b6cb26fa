"""The settings of every plugin that keeps indexes in this process."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from famulus import Settings, setting


class IndexSettings(Settings, frozen=True, kw_only=True):
    """How much of this machine the indexes take."""

    memory_bytes_max: Annotated[
        int,
        Meta(ge=0),
        setting(
            why="Vectors held in memory; over it, those of the stores that were searched longest "
            "ago are let go of, and read again from the data folder when they are searched."
        ),
    ] = 1_073_741_824
    open_max: Annotated[
        int,
        Meta(ge=1),
        setting(why="Stores that are open at once; each takes up to six file descriptors."),
    ] = 64
    threads_max: Annotated[
        int,
        Meta(ge=1),
        setting(why="Threads that search and bring in; further work waits for one."),
    ] = 4
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
    clear_up_s: Annotated[
        float,
        Meta(gt=0),
        setting(
            why="Seconds between looking through the data folder for what is left there of stores "
            "and files that are gone."
        ),
    ] = 3600.0
