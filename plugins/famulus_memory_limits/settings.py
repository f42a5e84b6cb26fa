"""The settings of limits in memory."""

from __future__ import annotations

from typing import Annotated

import msgspec

from famulus import Settings, setting


class MemoryLimitsSettings(Settings, frozen=True, kw_only=True):
    """Table `[plugins.memory_limits]`."""

    keys_max: Annotated[
        int,
        msgspec.Meta(ge=1),
        setting(why="Limits in use at once; beyond it the one used longest ago is forgotten."),
    ] = 100_000
