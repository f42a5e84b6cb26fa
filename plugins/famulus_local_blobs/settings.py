"""The settings of the folder of blobs."""

from __future__ import annotations

from typing import Annotated

import msgspec

from famulus import Settings, setting


class LocalBlobsSettings(Settings, frozen=True):
    """Table `[plugins.local_blobs]`."""

    folder: Annotated[
        str | None,
        setting(
            why="Where blobs are kept; `blobs` in the data folder if not given. Servers that "
            "share a database share this folder, too."
        ),
    ] = None
    threads_max: Annotated[
        int,
        msgspec.Meta(ge=1),
        setting(why="Threads that read and write; further reads and writes wait for one."),
    ] = 8
    chunk_bytes: Annotated[
        int,
        msgspec.Meta(ge=4096),
        setting(why="Read and written at once; what each open file takes of memory."),
    ] = 1_048_576
