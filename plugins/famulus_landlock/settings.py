"""The settings of the sandbox."""

from __future__ import annotations

from typing import Annotated

import msgspec

from famulus import setting
from famulus_boxes.settings import BoxSettings


class LandlockSettings(BoxSettings, frozen=True):
    """Table `[plugins.landlock]`."""

    folder: Annotated[
        str | None,
        setting(
            why="Where boxes have their homes; any user must be able to reach it. A file system of "
            "a fixed size does what the sandbox cannot. If not given, the machine's for such files."
        ),
    ] = None
    uid: Annotated[
        int,
        msgspec.Meta(ge=1),
        setting(
            why="Where the server runs as root, whose the first box is; each has one of its own, "
            "from here on."
        ),
    ] = 2_000_001_000
