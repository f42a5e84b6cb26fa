"""What ends by time: files and uploads that expire, and contents that belong to nothing.

A content belongs to nothing where the process died between keeping it and committing what names
it. Whether something names it is asked of the records, and the answer is kept true by a record
of its own: nothing can be made any more of a content that was found to be lost.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from famulus import Problem
from famulus_files.kinds import BUCKET_S, bucket, decode_upload
from famulus_schemas.blobs import StoredBlob
from famulus_schemas.records import Conflict, Guard, Insert, Record, Unit
from famulus_schemas.retention import Removed

if TYPE_CHECKING:
    from famulus_files.plugin import FilesPlugin

PREFIXES = {"file-": ("file",), "part_": ("upload_part", "file_piece")}
"""How the keys of our blobs begin, and the kinds of the records that name them by their ids."""


class Sweeper:
    """Looks for what is over, again and again."""

    def __init__(
        self, plugin: FilesPlugin, *, expire_upload: Callable[[Record], Awaitable[None]]
    ) -> None:
        self._plugin = plugin
        self._expire_upload = expire_upload
        self._looked_at: int | None = None

    async def run(self) -> None:
        """Sweep for ever."""
        settings = self._plugin.settings
        await asyncio.gather(
            self._again(self.expire, settings.sweep_s),
            self._again(self.remove_orphans, settings.orphans_s),
        )

    async def _again(self, sweep: Callable[[], Awaitable[object]], pause_s: float) -> None:
        while True:
            try:
                await sweep()
            except Exception as error:  # Isolation: one trouble must not end all sweeping.
                self._plugin.log.error("sweep_failed", exc_info=error)
            await asyncio.sleep(pause_s)

    # --- by time ------------------------------------------------------------------------------

    async def expire(self) -> None:
        """End every file and upload whose time is over."""
        await self._expire_files()
        await self._expire_uploads()

    async def _expire_files(self) -> None:
        now = self._plugin.now()
        if self._looked_at is None:
            # At the start all that will ever expire is looked at, for what was missed.
            await self._expire_those({"expires": "yes"})
        else:
            # One hour more: a file may have been too busy to be deleted.
            for hour in range(self._looked_at // BUCKET_S - 1, now // BUCKET_S + 1):
                await self._expire_those({"expires_in": bucket(hour * BUCKET_S)})
        self._looked_at = now

    async def _expire_those(self, where: dict[str, str]) -> None:
        plugin, after = self._plugin, 0
        while records := await plugin.every_project.scan("file", where=where, after_seq=after):
            after = records[-1].seq
            for record in records:
                if plugin.access.is_over(record):
                    # Somebody else may have been first.
                    with suppress(Problem):
                        await plugin.removal.delete(plugin.caller(record.project), record)

    async def _expire_uploads(self) -> None:
        plugin, after = self._plugin, 0
        while records := await plugin.every_project.scan(
            "upload", where={"status": "pending"}, after_seq=after
        ):
            after = records[-1].seq
            for record in records:
                if decode_upload(record.body).expires_at <= plugin.now():
                    await self._expire_upload(record)

    # --- by belonging to nothing --------------------------------------------------------------

    async def remove_orphans(self, is_dry: bool = False) -> Removed:
        """Remove contents that are old enough to be named by a record, and are not."""
        count, size = 0, 0
        limit = self._plugin.host.clock() - self._plugin.settings.orphan_age_s
        for prefix, kinds in PREFIXES.items():
            async for blob in self._plugin.blobs.stored(prefix):
                if blob.stored_at > limit or not await self._is_lost(blob, kinds, is_dry):
                    continue
                count, size = count + 1, size + blob.bytes
                if not is_dry:
                    self._plugin.log.info("orphan_removed", key=blob.key, bytes=blob.bytes)
                    await self._plugin.contents.remove(blob.project, blob.key)
        return Removed(count=count, bytes=size)

    async def _is_lost(self, blob: StoredBlob, kinds: tuple[str, ...], is_dry: bool) -> bool:
        """Whether nothing names the blob, and from now on, unless this is dry, nothing can."""
        records = self._plugin.records.of(blob.project)
        for kind in kinds:
            if await records.get(kind, blob.key) is not None:
                return False
        if is_dry or await records.get("lost_blob", blob.key) is not None:
            return True
        unit: Unit = [
            *(Guard(kind=kind, id=blob.key, absent=True) for kind in kinds),
            Insert(kind="lost_blob", id=blob.key, created_at=self._plugin.now(), body=b"{}"),
        ]
        try:
            await records.commit(unit)
        except Conflict:
            return False
        return True
