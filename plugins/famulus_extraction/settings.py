"""The settings of extraction: what one file may cost."""

from __future__ import annotations

from typing import Annotated

import msgspec

from famulus import Settings, setting

MB = 1_048_576
Positive = msgspec.Meta(ge=1)
Seconds = msgspec.Meta(gt=0)


class ExtractionSettings(Settings, frozen=True):
    """Table `[plugins.extraction]`."""

    chunker: Annotated[
        str,
        setting(why="How files are cut into chunks: `auto`, or the name of a plugin's way."),
    ] = "auto"
    extractions_at_once_max: Annotated[
        int,
        Positive,
        setting(why="Files that are read at the same time, each in a process; others wait."),
    ] = 2
    wall_s: Annotated[
        float, Seconds, setting(why="Seconds that reading and cutting up one file may take.")
    ] = 30.0
    memory_bytes_max: Annotated[
        int,
        msgspec.Meta(ge=128 * MB),
        setting(why="Address space of a process that reads a file (Linux)."),
    ] = 1024 * MB
    file_bytes_max: Annotated[
        int, Positive, setting(why="Size of a file that is read; OpenAI's limit.")
    ] = 512 * MB
    text_bytes_max: Annotated[
        int, Positive, setting(why="Text that one file may hold, as UTF-8.")
    ] = 50 * MB
    output_bytes_max: Annotated[
        int,
        Positive,
        setting(why="All chunks of a file together; more than its text, since they overlap."),
    ] = 250 * MB
    unpacked_bytes_max: Annotated[
        int, Positive, setting(why="What a docx, pptx or xlsx may be unpacked.")
    ] = 500 * MB
    unpacked_ratio_max: Annotated[
        int,
        Positive,
        setting(why="How many times its size such a file may be unpacked; bombs are far over it."),
    ] = 100
    unpacked_entries_max: Annotated[
        int, Positive, setting(why="Parts that such a file may have.")
    ] = 10_000
    files_per_process_max: Annotated[
        int,
        Positive,
        setting(
            why="Files that one process reads, one after the other, before a new one takes its "
            "place; 1 keeps all files apart, and costs a start for each."
        ),
    ] = 20
    idle_s: Annotated[
        float, Seconds, setting(why="Seconds after which a process that has no file is ended.")
    ] = 60.0
    start_s: Annotated[
        float, Seconds, setting(why="Seconds that the start of such a process may take.")
    ] = 30.0
    niceness: Annotated[
        int,
        msgspec.Meta(ge=0, le=19),
        setting(why="How much such a process gives way to the server; 19 gives way the most."),
    ] = 10
