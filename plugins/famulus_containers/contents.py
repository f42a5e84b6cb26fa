"""Contents of container files: one blob each, under the file's id."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Sequence
from typing import TYPE_CHECKING

from famulus import Problem
from famulus_containers.kinds import PREFIX
from famulus_schemas.blobs import Blob, BlobMissing, BlobsUnavailable
from famulus_schemas.errors import FILE_TOO_LARGE
from famulus_schemas.retention import Removed

if TYPE_CHECKING:
    from famulus_containers.plugin import ContainersPlugin


class Contents:
    """Keeps, reads and removes what is in the files."""

    def __init__(self, plugin: ContainersPlugin) -> None:
        self._plugin = plugin
        self._blobs = plugin.blobs

    async def keep(self, project: str, key: str, chunks: AsyncIterable[bytes]) -> Blob:
        """Keep a stream. Raises Problem for one over the limit, and what the stream raises."""
        limit = self._plugin.settings.file_bytes_max
        return await self._blobs.put(project, key, _limited(chunks, limit))

    async def open(
        self, project: str, key: str, *, start: int = 0, end: int | None = None
    ) -> AsyncIterator[bytes]:
        """The bytes from `start` up to `end`. Raises BlobsUnavailable where they are not there."""
        chunks = self._blobs.read(project, key, start=start, end=end)
        try:
            first = await anext(chunks, b"")
        except BlobMissing as error:
            raise BlobsUnavailable("the file's content is not there") from error
        return _with_first(first, chunks)

    async def drop(self, project: str, keys: Sequence[str]) -> None:
        """Remove what no file has any more; a sweep finds what cannot be removed now."""
        for key in keys:
            try:
                await self._blobs.delete(project, key)
            except BlobsUnavailable as error:
                self._plugin.log.warning("content_not_removed", key=key, reason=str(error))

    async def remove_orphans(self, is_dry: bool = False) -> Removed:
        """Remove contents that are old enough to have a file, and have none."""
        plugin, count, size = self._plugin, 0, 0
        limit = plugin.host.clock() - plugin.settings.orphan_age_s
        async for blob in self._blobs.stored(PREFIX):
            if blob.stored_at > limit:
                # It may be on its way into a file: requests end long before that.
                continue
            records = plugin.records.of(blob.project)
            if await records.get("container_file", blob.key) is None:
                count, size = count + 1, size + blob.bytes
                if not is_dry:
                    plugin.log.info("orphan_removed", key=blob.key, bytes=blob.bytes)
                    await self._blobs.delete(blob.project, blob.key)
            await asyncio.sleep(0)
        return Removed(count=count, bytes=size)


async def _limited(chunks: AsyncIterable[bytes], limit: int) -> AsyncIterator[bytes]:
    size = 0
    async for chunk in chunks:
        size += len(chunk)
        if size > limit:
            raise Problem(FILE_TOO_LARGE, param="file", name="file", limit=limit)
        yield chunk


async def _with_first(first: bytes, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    if first:
        yield first
    async for chunk in chunks:
        yield chunk
