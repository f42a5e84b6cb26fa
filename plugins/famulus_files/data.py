"""What of files is old, and what is left of those that are gone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from famulus import Problem
from famulus_files.kinds import decode_file, decode_file_extra, decode_upload
from famulus_files.removal import JOB
from famulus_schemas.identity import Principal
from famulus_schemas.records import Conflict, Delete, Record, Unit
from famulus_schemas.retention import Data, DataKind, Idle, Orphans, Removed

if TYPE_CHECKING:
    from famulus_files.plugin import FilesPlugin


class FileData:
    """Files and uploads, for whoever deletes by age or erases."""

    def __init__(self, plugin: FilesPlugin) -> None:
        self._plugin = plugin

    def kinds(self) -> list[Data]:
        """Files, uploads that have ended, and blobs that nothing names."""
        return [
            DataKind(
                name="files",
                kind="file",
                age="since it was made; one that is in a vector store waits until it is in none",
                last_used=_made_at,
                delete=self._delete_file,
                size=lambda record: decode_file(record.body).bytes,
                is_part=True,
                jobs=(JOB,),
            ),
            DataKind(
                name="uploads",
                kind="upload",
                age="since it was begun, once it is completed, cancelled or expired",
                last_used=_ended,
                delete=self._delete_upload,
                jobs=(JOB,),
            ),
            Orphans(name="contents of no file", remove=self._plugin.sweeper.remove_orphans),
        ]

    async def _delete_file(
        self, principal: Principal, record: Record, idle: Idle | None
    ) -> Removed | None:
        pieces = decode_file_extra(record.extra).pieces
        try:
            unneeded = () if idle is None else idle.unneeded
            if not await self._plugin.removal.delete(principal, record, unneeded=unneeded):
                return None
        except Problem as problem:
            if problem.status == 404:
                return None
            raise
        return Removed(
            bytes=sum(piece.bytes for piece in pieces), blobs=tuple(piece.key for piece in pieces)
        )

    async def _delete_upload(
        self, principal: Principal, record: Record, idle: Idle | None
    ) -> Removed | None:
        plugin = self._plugin
        if decode_upload(record.body).status == "pending":
            if idle is not None:
                return None
            # Its parts go as they do where its time is over.
            await plugin.expire_upload(record)
            ended = await plugin.records.of(record.project).get("upload", record.id)
            if ended is None:
                return None
            record = ended
        unit: Unit = [Delete(kind="upload", id=record.id, version=record.version)]
        joined = await plugin.joined(principal, "uploads.delete", unit)
        try:
            await plugin.records.of(record.project).commit(joined)
        except Conflict:
            return None
        return Removed()


async def _made_at(record: Record) -> int:
    return record.created_at


async def _ended(record: Record) -> int | None:
    return None if decode_upload(record.body).status == "pending" else record.created_at
