"""The limits of containers."""

from __future__ import annotations

from typing import Annotated

import msgspec

from famulus import Settings, setting

MB = 1_000_000
Positive = msgspec.Meta(ge=1)


class ContainersSettings(Settings, frozen=True, kw_only=True):
    """Table `[plugins.containers]`."""

    expires_minutes: Annotated[
        int,
        Positive,
        setting(why="Minutes that a container may be left alone, where its client does not say."),
    ] = 20
    containers_max: Annotated[
        int, Positive, setting(why="Running containers of one project; OpenAI's are unlimited.")
    ] = 1000
    files_max: Annotated[int, Positive, setting(why="Files of one container.")] = 200
    file_bytes_max: Annotated[int, Positive, setting(why="Size of one of them.")] = 100 * MB
    container_bytes_max: Annotated[
        int, Positive, setting(why="Size of all of them; less than the sandbox's `files_bytes`.")
    ] = 400 * MB
    activity_s: Annotated[
        int,
        msgspec.Meta(ge=0),
        setting(why="Seconds by which `last_active_at` may be late, so that few reads write."),
    ] = 10
    sweep_s: Annotated[
        float, setting(why="Seconds between looking for containers that have expired.")
    ] = 60.0
    expired_kept_s: Annotated[
        int, Positive, setting(why="Seconds that an expired container is still told of.")
    ] = 604_800
    orphans_s: Annotated[
        float, setting(why="Seconds between looking for contents that belong to no file.")
    ] = 3600.0
    orphan_age_s: Annotated[
        float, setting(why="Seconds a content may be there before it must belong to a file.")
    ] = 86_400.0
