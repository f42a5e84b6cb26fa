"""The plugin: the operations of containers, CONTAINERS for those who run code, and the sweeps."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from msgspec.structs import replace

from famulus import Operation, Plugin, hookimpl, need, operations, want
from famulus_containers.boxes import ContainerService
from famulus_containers.contents import Contents
from famulus_containers.data import ContainerData
from famulus_containers.kinds import KINDS, PREFIX
from famulus_containers.operations import ContainerFileOperations, ContainerOperations
from famulus_containers.settings import MB, ContainersSettings
from famulus_containers.shelf import Given, Shelf
from famulus_schemas.identity import Principal
from famulus_schemas.ports import BLOBS, CONTAINERS, FILES, RECORDS, SANDBOX
from famulus_schemas.records import Conflict, Delete
from famulus_schemas.retention import Data

FORM_BYTES = MB
"""What a form may have beside its file."""


class ContainersPlugin(Plugin[ContainersSettings]):
    """Serves containers and their files, and provides CONTAINERS."""

    name = "containers"
    provides = (CONTAINERS,)
    records = need(RECORDS)
    every_project = need(RECORDS.system)
    blobs = need(BLOBS)
    files = need(FILES)
    sandbox = want(SANDBOX)

    shelf: Shelf
    contents: Contents
    service: ContainerService

    @asynccontextmanager
    async def lifespan(self) -> AsyncIterator[None]:
        """Provide the port, and sweep until stopped."""
        await self.records.declare(*KINDS)
        self.shelf, self.contents = Shelf(self), Contents(self)
        self.service = ContainerService(self)
        self.provide(CONTAINERS, self.service)
        sweeps = [(self.sweep, self.settings.sweep_s), (self.tidy, self.settings.orphans_s)]
        # What a command deletes, or only counts, is all that goes while it runs.
        sweeping = [
            asyncio.create_task(self._again(sweep, pause_s))
            for sweep, pause_s in (sweeps if self.host.serves else ())
        ]
        try:
            yield
        finally:
            for each in sweeping:
                each.cancel()
            await asyncio.gather(*sweeping, return_exceptions=True)

    async def _again(self, sweep: Callable[[], Awaitable[None]], pause_s: float) -> None:
        while True:
            try:
                await sweep()
            except Exception as error:  # Isolation: one trouble must not end all sweeping.
                self.log.error("sweep_failed", exc_info=error)
            await asyncio.sleep(pause_s)

    async def sweep(self) -> None:
        """End the containers whose time is over."""
        self.service.tidy()
        after = 0
        while records := await self.every_project.scan(
            "container", where={"status": "running"}, after_seq=after
        ):
            after = records[-1].seq
            for record in records:
                if await self.shelf.expire(record):
                    await self.service.close(record.project, record.id)

    async def tidy(self) -> None:
        """Forget what expired long ago, and contents that belong to nothing."""
        after, limit = 0, self.now() - self.settings.expired_kept_s
        while records := await self.every_project.scan(
            "container", where={"status": "expired"}, after_seq=after
        ):
            after = records[-1].seq
            for record in records:
                _, container = await self.shelf.found(record.project, record.id)
                if container.last_active_at <= limit:
                    await self._forget(record.project, record.id, record.version)
        await self.contents.remove_orphans()

    async def _forget(self, project: str, id: str, version: int) -> None:
        unit = [Delete(kind="container", id=id, version=version)]
        try:
            await self.shelf.commit(self.caller(project), "containers.delete", unit)
        except Conflict:
            self.log.info("container_gone", container=id)

    @hookimpl
    def register_operations(self) -> list[Operation]:
        """Containers and their files, with the configured limit of what they take."""
        served = [
            *operations(ContainerOperations(self)),
            *operations(ContainerFileOperations(self)),
        ]
        limits = {"create_container_file": self.settings.file_bytes_max + FORM_BYTES}
        return [replace(one, body_bytes_max=limits.get(one.name)) for one in served]

    @hookimpl
    def register_data_kinds(self) -> list[Data]:
        """Containers and lost contents."""
        return ContainerData(self).kinds()

    async def copied(self, project: str, file_id: str) -> Given:
        """A new file with the content of one that is kept. Raises Problem."""
        file = await self.files.describe(project, file_id)
        id = self.new_id(PREFIX)
        chunks = await self.files.open(project, file_id)
        blob = await self.contents.keep(project, id, chunks)
        return Given(id=id, filename=file.filename, bytes=blob.bytes, sha256=blob.sha256)

    def caller(self, project: str) -> Principal:
        """Who acts where no client does."""
        return Principal(id=self.name, project=project)
