"""The plugin: the operations of files and uploads, and FILES for other plugins."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from msgspec.structs import replace

from famulus import Operation, Plugin, hookimpl, need, operations
from famulus_files.access import Access
from famulus_files.contents import Contents
from famulus_files.data import FileData
from famulus_files.file_operations import FileOperations
from famulus_files.kinds import KINDS
from famulus_files.making import Maker
from famulus_files.removal import JOB, Removal
from famulus_files.service import FileService
from famulus_files.settings import MB, FilesSettings
from famulus_files.sweep import Sweeper
from famulus_files.upload_operations import UploadOperations
from famulus_schemas.identity import Principal
from famulus_schemas.ports import BLOBS, FILES, JOBS, RECORDS
from famulus_schemas.records import Record
from famulus_schemas.retention import Data

FORM_BYTES = MB
"""What a form may have beside its file."""


class FilesPlugin(Plugin[FilesSettings]):
    """Serves files and uploads, and provides FILES."""

    name = "files"
    provides = (FILES,)
    records = need(RECORDS)
    every_project = need(RECORDS.system)
    blobs = need(BLOBS)
    jobs = need(JOBS)

    access: Access
    contents: Contents
    maker: Maker
    removal: Removal
    sweeper: Sweeper

    @asynccontextmanager
    async def lifespan(self) -> AsyncIterator[None]:
        """Provide the port, remove contents and sweep until stopped."""
        await self.records.declare(*KINDS)
        self._build()
        self.jobs.handle(JOB, self.removal.do, at_once_max=self.settings.deletions_at_once_max)
        service = FileService(
            access=self.access, contents=self.contents, maker=self.maker, removal=self.removal
        )
        self.provide(FILES, service)
        # What a command deletes, or only counts, is all that goes while it runs.
        sweeping = [asyncio.create_task(self.sweeper.run())] if self.host.serves else []
        try:
            yield
        finally:
            for each in sweeping:
                each.cancel()
            await asyncio.gather(*sweeping, return_exceptions=True)
            await self.jobs.withdraw(JOB, grace_s=self.settings.finish_s)

    def _build(self) -> None:
        self.access = Access(self.records, self.now)
        self.contents = Contents(self.blobs, self.log)
        self.maker = Maker(
            self.settings,
            access=self.access,
            contents=self.contents,
            make_id=self.host.make_id,
            now=self.now,
        )
        self.removal = Removal(
            records=self.records,
            contents=self.contents,
            jobs=self.jobs,
            joined=self.joined,
            now=self.now,
            log=self.log,
        )
        self.sweeper = Sweeper(self, expire_upload=self.expire_upload)

    async def expire_upload(self, record: Record) -> None:
        """End an upload whose time is over."""
        await UploadOperations(self).expire(record)

    @hookimpl
    def register_data_kinds(self) -> list[Data]:
        """Files, uploads and lost contents."""
        return FileData(self).kinds()

    @hookimpl
    def register_operations(self) -> list[Operation]:
        """Files and uploads, with the configured limits of what they take."""
        limits = {
            "create_file": self.settings.file_bytes_max + FORM_BYTES,
            "add_upload_part": self.settings.part_bytes_max + FORM_BYTES,
        }
        served = [*operations(FileOperations(self)), *operations(UploadOperations(self))]
        return [replace(one, body_bytes_max=limits.get(one.name)) for one in served]

    def caller(self, project: str) -> Principal:
        """Who acts where time does."""
        return Principal(id="files", project=project)
