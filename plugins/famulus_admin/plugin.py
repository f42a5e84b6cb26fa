"""The plugin: the operations of the administration, on what KEYS keeps."""

from __future__ import annotations

from famulus import NoSettings, Operation, Plugin, hookimpl, need, operations
from famulus_schemas.ports import KEYS


class Admin(Plugin[NoSettings]):
    """Serves projects, their keys and service accounts, and admin keys."""

    name = "admin"
    keys = need(KEYS)

    @hookimpl
    def register_operations(self) -> list[Operation]:
        """Projects, and who may come in to them."""
        # Only here: commands have no use for them.
        from famulus_admin.key_operations import KeyOperations
        from famulus_admin.project_operations import ProjectOperations

        return [*operations(ProjectOperations(self)), *operations(KeyOperations(self))]
