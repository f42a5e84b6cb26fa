"""The settings of the sandbox."""

from __future__ import annotations

from typing import Annotated

import msgspec

from famulus import setting
from famulus_boxes.settings import BoxSettings


class BubblewrapSettings(BoxSettings, frozen=True):
    """Table `[plugins.bubblewrap]`."""

    command: Annotated[
        str, setting(why="Name or path of bubblewrap, Debian's package `bubblewrap`.")
    ] = "bwrap"
    uid: Annotated[
        int,
        msgspec.Meta(ge=1),
        setting(why="Whose boxes are where the server runs as root; nobody else may have it."),
    ] = 2_000_000_000
