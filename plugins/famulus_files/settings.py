"""The settings of files and uploads."""

from __future__ import annotations

from typing import Annotated

import msgspec

from famulus import Settings, setting

MB = 1_048_576
Positive = msgspec.Meta(ge=1)


class FilesSettings(Settings, frozen=True):
    """Table `[plugins.files]`."""

    file_bytes_max: Annotated[
        int, Positive, setting(why="Size of a file that is given at once.")
    ] = 512 * MB
    part_bytes_max: Annotated[int, Positive, setting(why="Size of one part of an upload.")] = (
        64 * MB
    )
    upload_bytes_max: Annotated[
        int, Positive, setting(why="Size of a file that is uploaded in parts.")
    ] = 8192 * MB
    upload_parts_max: Annotated[int, Positive, setting(why="Parts of one upload.")] = 2000
    upload_s: Annotated[
        int, Positive, setting(why="Seconds after which an upload that is not complete expires.")
    ] = 3600
    uploads_pending_max: Annotated[
        int, Positive, setting(why="Uploads of one project that may be pending at once.")
    ] = 1000
    project_bytes_max: Annotated[
        int | None, setting(why="Size of all files of a project together, if there is a limit.")
    ] = None
    filename_characters_max: Annotated[int, Positive, setting(why="Length of a file's name.")] = 512
    batch_expires_s: Annotated[
        int, Positive, setting(why="Seconds after which files for batches expire by themselves.")
    ] = 2_592_000
    not_downloaded: Annotated[
        list[str],
        setting(why="Purposes whose files no client gets back; OpenAI had `assistants` here."),
    ] = []
    deletions_at_once_max: Annotated[
        int, Positive, setting(why="Deleted files whose content is removed at the same time.")
    ] = 4
    finish_s: Annotated[
        float, setting(why="Seconds a stop waits for contents that are being removed.")
    ] = 5.0
    sweep_s: Annotated[
        float, setting(why="Seconds between looking for files and uploads that have expired.")
    ] = 60.0
    orphans_s: Annotated[
        float, setting(why="Seconds between looking for contents that belong to no file.")
    ] = 3600.0
    orphan_age_s: Annotated[
        float, setting(why="Seconds a content may be there before it must belong to a file.")
    ] = 86_400.0
