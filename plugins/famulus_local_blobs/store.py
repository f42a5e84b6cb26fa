"""BLOBS in a folder: each blob one file, written beside its place, synced, and renamed into it."""

from __future__ import annotations

import os
from collections.abc import AsyncIterable, AsyncIterator
from functools import partial
from pathlib import Path

from famulus.clock import Clock
from famulus_local_blobs.hands import DiskHands
from famulus_local_blobs.places import Places, sync_folder
from famulus_local_blobs.writing import Unfinished
from famulus_schemas.blobs import Blob, BlobMissing, BlobsUnavailable, StoredBlob


class FolderOfBlobs:
    """The Blobs port on one folder."""

    def __init__(self, places: Places, hands: DiskHands, *, chunk_bytes: int, clock: Clock) -> None:
        self._places = places
        self._hands = hands
        self._chunk_bytes = chunk_bytes
        self._clock = clock

    async def put(self, project: str, key: str, chunks: AsyncIterable[bytes]) -> Blob:
        """As Blobs.put."""
        place = self._places.of(project, key)
        file = Unfinished(self._places)
        try:
            await self._hands.do(file.open)
            async for data in self._gathered(chunks):
                await self._hands.do(partial(file.write, data))
            digest = await self._hands.do(partial(file.finish, place, now=self._clock()))
        except FileNotFoundError as error:
            raise BlobsUnavailable(f"{error.filename} was taken away") from error
        finally:
            await self._hands.do(file.close)
        return Blob(project=project, key=key, bytes=file.bytes, sha256=digest)

    async def _gathered(self, chunks: AsyncIterable[bytes]) -> AsyncIterator[bytes]:
        """The same bytes in pieces that are worth a thread's while."""
        waiting = bytearray()
        async for chunk in chunks:
            waiting += chunk
            if len(waiting) >= self._chunk_bytes:
                yield bytes(waiting)
                waiting.clear()
        if waiting:
            yield bytes(waiting)

    async def find(self, project: str, key: str) -> StoredBlob | None:
        """As Blobs.find."""
        place = self._places.of(project, key)
        try:
            found = await self._hands.do(partial(os.stat, place))
        except FileNotFoundError:
            return None
        return StoredBlob(project=project, key=key, bytes=found.st_size, stored_at=found.st_mtime)

    async def read(
        self, project: str, key: str, *, start: int = 0, end: int | None = None
    ) -> AsyncIterator[bytes]:
        """As Blobs.read."""
        place = self._places.of(project, key)
        try:
            descriptor = await self._hands.do(partial(os.open, place, os.O_RDONLY))
        except FileNotFoundError:
            raise BlobMissing(project, key) from None
        try:
            at = start
            while end is None or at < end:
                size = self._chunk_bytes if end is None else min(self._chunk_bytes, end - at)
                data = await self._hands.do(partial(os.pread, descriptor, size, at))
                if not data:
                    return
                at += len(data)
                yield data
        finally:
            os.close(descriptor)

    async def delete(self, project: str, key: str) -> None:
        """As Blobs.delete."""
        await self._hands.do(partial(_remove, self._places.of(project, key)))

    async def stored(self, prefix: str = "") -> AsyncIterator[StoredBlob]:
        """As Blobs.stored."""
        for project, folder in await self._hands.do(self._places.projects):
            for shard in await self._hands.do(partial(_folders, folder)):
                for key, bytes_, at in await self._hands.do(partial(_files, shard, prefix)):
                    yield StoredBlob(project=project, key=key, bytes=bytes_, stored_at=at)


def _remove(place: Path) -> None:
    try:
        place.unlink()
    except FileNotFoundError:
        return
    sync_folder(place.parent)


def _folders(path: Path) -> list[Path]:
    return sorted(each for each in path.iterdir() if each.is_dir())


def _files(shard: Path, prefix: str) -> list[tuple[str, int, float]]:
    found = []
    with os.scandir(shard) as entries:
        for entry in entries:
            if not entry.name.startswith(prefix):
                continue
            try:
                known = entry.stat()
            except FileNotFoundError:
                continue
            found.append((entry.name, known.st_size, known.st_mtime))
    return found
