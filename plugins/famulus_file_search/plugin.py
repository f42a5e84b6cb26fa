"""The plugin: brings the kind of tool, where there are vector stores."""

from __future__ import annotations

from famulus import Plugin, hookimpl, need
from famulus_file_search.settings import FileSearchSettings
from famulus_schemas.ports import INFERENCE, STORES
from famulus_schemas.tooling import ToolKind


class FileSearchPlugin(Plugin[FileSearchSettings]):
    """Lets assistants search files, and cites what they found."""

    name = "file_search"
    stores = need(STORES)
    inference = need(INFERENCE)

    @hookimpl
    def register_tools(self) -> list[ToolKind]:
        """The one kind."""
        # Only here: commands have no use for it, and neither has a server without stores.
        from famulus_file_search.kind import FileSearch

        return [FileSearch(self.settings, stores=self.stores, inference=self.inference)]
