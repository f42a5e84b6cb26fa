"""All of a project, erased for good, and the proof of it."""

from __future__ import annotations

import asyncio
from collections.abc import Collection

from famulus_retention.inventory import Inventory, taken, told_elsewhere
from famulus_retention.known import Known
from famulus_retention.settings import RetentionSettings
from famulus_retention.sweep import ACTOR
from famulus_schemas.blobs import Blobs
from famulus_schemas.identity import COMMAND_LINE, SYSTEM_PROJECT, Principal
from famulus_schemas.ports import Keys
from famulus_schemas.records import SystemRecords

LOOK_S = 1.0
"""Between two looks at what others still have to clear up, or wrote meanwhile."""


class ProjectErasure:
    """Erases one project; what is asked for is `asked`, of the kinds that else stay."""

    def __init__(
        self,
        project: str,
        *,
        settings: RetentionSettings,
        records: SystemRecords,
        blobs: Blobs,
        keys: Keys | None,
        known: Known,
        asked: Collection[str] = (),
    ) -> None:
        self._project = project
        self._settings = settings
        self._records = records
        self._blobs = blobs
        self._keys = keys
        self._known = known
        self.staying = {
            each.name: each.stays for each in known.kinds if each.stays and each.name not in asked
        }
        """Kinds of data that are kept, and why."""
        self._asked = [each for each in known.kinds if each.stays and each.name in asked]
        self._keep = [
            kind
            for each in known.kinds
            if each.name in self.staying
            for kind in (each.kind, *each.also)
        ]

    async def count(self) -> Inventory:
        """What there is of it now, but for what stays."""
        return await taken(
            self._project,
            records=self._records,
            blobs=self._blobs,
            known=self._known,
            keep=self._keep,
            more=self._asked,
        )

    async def erase(self) -> Inventory:
        """Erase it; what is left, which should be nothing."""
        if self._keys is not None:
            await self._keys.close_project(self._project, by=COMMAND_LINE)
        if not self._records.exclusive:
            await asyncio.sleep(self._settings.settle_s)
        await self._remove()
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._settings.finish_s
        while not (await self.count()).is_empty and loop.time() < deadline:
            await asyncio.sleep(LOOK_S)
            await self._remove()
        await self._records.scrub()
        return await self.count()

    async def _remove(self) -> None:
        # Records first: with its job's record gone, nothing that a run still does is taken.
        while await self._records.wipe(
            self._project, keep=self._keep, limit=self._settings.batch_max
        ):
            await asyncio.sleep(0)
        principal = Principal(id=ACTOR, project=SYSTEM_PROJECT)
        async for data, record in told_elsewhere(self._project, self._records, self._asked):
            await data.delete(principal, record, None)
        keys = [blob.key async for blob in self._blobs.stored() if blob.project == self._project]
        for key in keys:
            await self._blobs.delete(self._project, key)
        for place in self._known.places:
            await place.erase(self._project)
