"""What of containers is old, and what is left of those that are gone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from famulus import Problem
from famulus_containers.kinds import decode_container
from famulus_schemas.identity import Principal
from famulus_schemas.records import Record
from famulus_schemas.retention import Data, DataKind, Idle, Orphans, Removed

if TYPE_CHECKING:
    from famulus_containers.plugin import ContainersPlugin


class ContainerData:
    """Containers, for whoever deletes by age or erases."""

    def __init__(self, plugin: ContainersPlugin) -> None:
        self._plugin = plugin

    def kinds(self) -> list[Data]:
        """Containers, and contents that no file of one has."""
        return [
            DataKind(
                name="containers",
                kind="container",
                age="since it was last used",
                last_used=_last_used,
                delete=self._delete,
            ),
            Orphans(name="contents of no container", remove=self._plugin.contents.remove_orphans),
        ]

    async def _delete(
        self, principal: Principal, record: Record, idle: Idle | None
    ) -> Removed | None:
        plugin = self._plugin
        files = await plugin.shelf.files(principal.project, record.id)
        try:
            if idle is None:
                await plugin.shelf.delete(principal, record.id)
            elif not await plugin.shelf.try_delete(principal, record, idle.unneeded):
                # Whoever uses or changes it writes its next version.
                return None
        except Problem as problem:
            if problem.status == 404:
                return None
            raise
        await plugin.service.close(principal.project, record.id)
        return Removed(
            bytes=sum(file.bytes for file in files), blobs=tuple(file.id for file in files)
        )


async def _last_used(record: Record) -> int | None:
    return decode_container(record.body).last_active_at
