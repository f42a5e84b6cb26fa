"""The settings of the SQLite record store."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from famulus import Settings, setting


class SqliteSettings(Settings, frozen=True):
    """Table `[plugins.sqlite]`."""

    path: Annotated[
        str | None,
        setting(why="The database file; `famulus.sqlite3` in the plugin's data folder if not set."),
    ] = None
    synchronous: Annotated[
        Literal["FULL", "NORMAL"],
        setting(
            why="FULL: what was acknowledged survives a power cut. NORMAL: it survives a crash "
            "of the server, and a power cut may take the last commits, whole ones only."
        ),
    ] = "FULL"
    busy_timeout_s: Annotated[
        float, setting(why="Seconds to wait for another program's lock, such as a backup's.")
    ] = 5.0
    units_per_batch_max: Annotated[
        int, msgspec.Meta(ge=1), setting(why="Units committed together.")
    ] = 256
    units_waiting_max: Annotated[
        int,
        msgspec.Meta(ge=1),
        setting(why="Units that may wait to be written; further ones are refused as overload."),
    ] = 10_000
    point_read_s: Annotated[
        float,
        msgspec.Meta(ge=0),
        setting(why="Seconds a read by key may hold the event loop before it goes to a thread."),
    ] = 0.005
    cache_bytes: Annotated[
        int, msgspec.Meta(ge=0), setting(why="Page cache of each of the three connections.")
    ] = 8_388_608
    checkpoint_bytes: Annotated[
        int,
        msgspec.Meta(ge=65_536),
        setting(
            why="Length at which the write-ahead log is copied back. Pages that many commits "
            "change are copied once each time, so a longer log costs less per commit."
        ),
    ] = 16_777_216
    wal_bytes_max: Annotated[
        int,
        msgspec.Meta(ge=0),
        setting(why="Size that the write-ahead log is cut back to once it was copied back."),
    ] = 67_108_864
    records_per_fill_max: Annotated[
        int,
        msgspec.Meta(ge=1),
        setting(why="Records a transaction fills in a newly declared index for."),
    ] = 1000
