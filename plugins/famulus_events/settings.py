"""The settings of the event fan-out."""

from __future__ import annotations

from typing import Annotated

import msgspec

from famulus import Settings
from famulus.config import setting


class EventsSettings(Settings, frozen=True):
    """Table `[plugins.events]`."""

    listeners_max: Annotated[
        int,
        msgspec.Meta(ge=1),
        setting(why="Listeners at once, over all topics; further ones are refused as overload."),
    ] = 12_000
    waiting_events_max: Annotated[
        int,
        msgspec.Meta(ge=1),
        setting(why="Events that may wait for one listener; a slower one is dropped."),
    ] = 4096
    waiting_bytes_max: Annotated[
        int,
        msgspec.Meta(ge=1),
        setting(why="Size of the events that may wait for one listener; a slower one is dropped."),
    ] = 1_048_576
