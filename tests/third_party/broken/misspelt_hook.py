"""A plugin that means a hook which does not exist."""

from __future__ import annotations

from famulus import NoSettings, Plugin, hookimpl


class Misspelt(Plugin[NoSettings]):
    """Means `register_tools`."""

    name = "misspelt_hook"

    @hookimpl
    def register_tolls(self) -> list[object]:
        """Never called."""
        return []
