"""Contents of files: one blob each, or the parts of an upload one after the other."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Sequence
from hashlib import md5, sha256
from typing import TYPE_CHECKING

from famulus_files.kinds import Piece
from famulus_schemas.blobs import BlobDamaged, BlobMissing, Blobs, BlobsUnavailable

if TYPE_CHECKING:
    from famulus.log import Log


class Contents:
    """Keeps, reads and removes what files are made of."""

    def __init__(self, blobs: Blobs, log: Log) -> None:
        self._blobs = blobs
        self._log = log

    async def keep(self, project: str, key: str, chunks: AsyncIterable[bytes]) -> Piece:
        """Keep a stream. What it raises is raised on, and nothing is kept."""
        blob = await self._blobs.put(project, key, chunks)
        return Piece(key, blob.bytes, blob.sha256)

    async def drop(self, project: str, *keys: str) -> None:
        """Remove what nothing was made of; a sweep finds what cannot be removed now."""
        for key in keys:
            try:
                await self._blobs.delete(project, key)
            except BlobsUnavailable as error:
                self._log.warning("content_not_removed", key=key, reason=str(error))

    async def remove(self, project: str, key: str) -> None:
        """Remove a blob that nothing names any more. Raises BlobsUnavailable."""
        await self._blobs.delete(project, key)

    async def open(
        self, project: str, pieces: Sequence[Piece], *, start: int = 0, end: int | None = None
    ) -> AsyncIterator[bytes]:
        """The bytes from `start` up to `end`, once it is known that there are some.

        Raises BlobsUnavailable where the content is not there.
        """
        chunks = self._read(project, pieces, start, size_of(pieces) if end is None else end)
        try:
            first = await anext(chunks, b"")
        except (BlobMissing, BlobDamaged) as error:
            self._log.error("content_missing", project=project, reason=str(error))
            raise BlobsUnavailable("the file's content is not there") from error
        return _with_first(first, chunks)

    async def _read(
        self, project: str, pieces: Sequence[Piece], start: int, end: int
    ) -> AsyncIterator[bytes]:
        at = 0
        for piece in pieces:
            first, last = max(start - at, 0), min(end - at, piece.bytes)
            at += piece.bytes
            if first >= last:
                continue
            chunks = self._blobs.read(project, piece.key, start=first, end=last)
            whole = piece if last - first == piece.bytes else None
            async for chunk in _held(chunks, piece.key, last - first, whole):
                yield chunk

    async def md5(self, project: str, pieces: Sequence[Piece]) -> str:
        """The checksum that uploads are compared by; all of it is read."""
        digest = md5(usedforsecurity=False)
        async for chunk in await self.open(project, pieces):
            digest.update(chunk)
        return digest.hexdigest()


def size_of(pieces: Sequence[Piece]) -> int:
    """The bytes of all of it."""
    return sum(piece.bytes for piece in pieces)


def tag_of(pieces: Sequence[Piece]) -> str:
    """What two contents of the same pieces agree in."""
    if len(pieces) == 1:
        return pieces[0].sha256
    return sha256("".join(piece.sha256 for piece in pieces).encode()).hexdigest()


async def _held(
    chunks: AsyncIterator[bytes], key: str, size: int, whole: Piece | None
) -> AsyncIterator[bytes]:
    """The same chunks; what is read as a whole must be what was put. Raises BlobDamaged.

    The last chunk is given only once that is known.
    """
    digest, got, waiting = sha256(), 0, b""
    async for chunk in chunks:
        if waiting:
            yield waiting
        waiting = chunk
        got += len(chunk)
        if whole is not None:
            digest.update(chunk)
    if got != size or (whole is not None and digest.hexdigest() != whole.sha256):
        raise BlobDamaged(f"the blob {key} is not what was put")
    if waiting:
        yield waiting


async def _with_first(first: bytes, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    if first:
        yield first
    async for chunk in chunks:
        yield chunk
