"""The limits of code that models run."""

from __future__ import annotations

from typing import Annotated

import msgspec

from famulus import Settings, setting

MB = 1_000_000
Positive = msgspec.Meta(ge=1)
Seconds = msgspec.Meta(gt=0)


class CodeInterpreterSettings(Settings, frozen=True, kw_only=True):
    """Table `[plugins.code_interpreter]`."""

    session_s: Annotated[
        float, Seconds, setting(why="Seconds that a thread's box lives; OpenAI's lived an hour.")
    ] = 3600.0
    session_idle_s: Annotated[
        float, Seconds, setting(why="Seconds that a box is kept in which no code is run.")
    ] = 1800.0
    sweep_s: Annotated[
        float, Seconds, setting(why="Seconds between looking for boxes whose time is over.")
    ] = 30.0
    cell_s: Annotated[
        float,
        Seconds,
        setting(
            why="Seconds that the code of one call may run. Less than `tool_s` of "
            "`[plugins.runs]`, within which the box is opened and files are kept, too."
        ),
    ] = 45.0
    stream_bytes_max: Annotated[
        int, Positive, setting(why="Shown in a step of each of stdout, stderr and the result.")
    ] = 100_000
    told_chars_max: Annotated[
        int,
        msgspec.Meta(ge=200),
        setting(why="Of a call's output that the model reads; the middle of more is left out."),
    ] = 20_000
    input_files_max: Annotated[
        int, Positive, setting(why="Files of assistant, thread and messages in one box.")
    ] = 200
    input_file_bytes_max: Annotated[
        int, Positive, setting(why="Size of one of them; the model is told of larger ones.")
    ] = 100 * MB
    input_bytes_max: Annotated[
        int, Positive, setting(why="Size of all of them; less than the sandbox's `files_bytes`.")
    ] = 400 * MB
    images_max: Annotated[
        int, Positive, setting(why="Images of one call that are kept, each as a file.")
    ] = 20
    image_bytes_max: Annotated[int, Positive, setting(why="Size of one image.")] = 10 * MB
    output_files_max: Annotated[
        int,
        Positive,
        setting(why="Files that one call wrote that are kept; the model is told of the others."),
    ] = 20
    output_file_bytes_max: Annotated[int, Positive, setting(why="Size of one of them.")] = 100 * MB
    outputs_known_max: Annotated[
        int,
        Positive,
        setting(
            why="The newest written files of a thread that answers can link, and that come "
            "again in a new box."
        ),
    ] = 100
