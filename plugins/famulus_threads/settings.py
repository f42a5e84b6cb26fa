"""The settings of threads."""

from __future__ import annotations

from typing import Annotated

import msgspec

from famulus import Settings, setting


class ThreadsSettings(Settings, frozen=True):
    """Table `[plugins.threads]`."""

    message_characters_max: Annotated[
        int, msgspec.Meta(ge=1), setting(why="Text of one message, all its parts together.")
    ] = 256_000
    messages_per_create_max: Annotated[
        int,
        msgspec.Meta(ge=1),
        setting(why="Messages given at once, when a thread or a run is created."),
    ] = 512
    history_messages_per_read: Annotated[
        int,
        msgspec.Meta(ge=1),
        setting(why="Messages read from the store at once when a thread is shown to a model."),
    ] = 100
