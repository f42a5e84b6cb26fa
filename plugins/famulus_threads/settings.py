"""The settings of threads."""

from __future__ import annotations

from typing import Annotated

import msgspec

from famulus import Settings, setting
from famulus_schemas.threads import OnBusy


class ThreadsSettings(Settings, frozen=True):
    """Table `[plugins.threads]`."""

    on_busy: Annotated[
        OnBusy,
        setting(
            why="What becomes of a run or a message for a thread that a run has: `refuse` it, as "
            "OpenAI did, `queue` it, or `cancel` the earlier runs. The header "
            "`X-Famulus-On-Busy` says so for one request."
        ),
    ] = "refuse"
    attachments_days: Annotated[
        int,
        msgspec.Meta(ge=1, le=365),
        setting(
            why="Days after its last use in which a vector store expires that was made for files "
            "that messages attach."
        ),
    ] = 7
    message_characters_max: Annotated[
        int, msgspec.Meta(ge=1), setting(why="Text of one message, all its parts together.")
    ] = 256_000
    message_images_max: Annotated[
        int, msgspec.Meta(ge=0), setting(why="Pictures of one message.")
    ] = 10
    image_data_bytes_max: Annotated[
        int,
        msgspec.Meta(ge=0),
        setting(
            why="Size of a picture that is given within a message, as a `data:` URL. It is stored "
            "with the message, and the body's own limit (`body_bytes_max`) is the lower one."
        ),
    ] = 20_971_520
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
    history_messages_ordered_max: Annotated[
        int,
        msgspec.Meta(ge=1),
        setting(
            why="Messages put in order at once, of those written while a thread was never free."
        ),
    ] = 1_000
