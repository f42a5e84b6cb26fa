"""BLOBS in a bucket: small blobs by one request, large ones in parts, all of them as streams."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Iterator
from contextlib import contextmanager
from datetime import datetime
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import obstore
from obstore.exceptions import BaseError
from obstore.store import S3Store

from famulus_s3.names import name_of, parsed
from famulus_s3.settings import S3Settings
from famulus_schemas.blobs import Blob, BlobMissing, BlobsUnavailable, StoredBlob

if TYPE_CHECKING:
    from obstore.store import S3Config

READ_BYTES = 1_048_576


def open_bucket(settings: S3Settings) -> S3Store:
    """The bucket of the settings; nothing is asked of it yet."""
    given: S3Config = {"region": settings.region}
    if settings.endpoint:
        given["endpoint"] = settings.endpoint
    if settings.access_key_id is not None:
        given["access_key_id"] = settings.access_key_id.reveal()
    if settings.secret_access_key is not None:
        given["secret_access_key"] = settings.secret_access_key.reveal()
    return S3Store(
        settings.bucket,
        prefix=settings.prefix or None,
        config=given,
        client_options={
            "allow_http": (settings.endpoint or "").startswith("http://"),
            "connect_timeout": f"{settings.connect_timeout_s:g}s",
            "timeout": f"{settings.request_timeout_s:g}s",
        },
        retry_config={"max_retries": settings.retries_max},
    )


class BucketOfBlobs:
    """The Blobs port on one bucket."""

    def __init__(self, bucket: S3Store, settings: S3Settings) -> None:
        self._bucket = bucket
        self._part_bytes = settings.part_bytes
        self._parts_at_once = settings.parts_at_once_max

    async def put(self, project: str, key: str, chunks: AsyncIterable[bytes]) -> Blob:
        """As Blobs.put."""
        name = name_of(project, key)
        source = _Source(chunks, self._part_bytes)
        first = await source.next()
        if len(first) < self._part_bytes:
            with _worded(), _bucket_there():
                await obstore.put_async(self._bucket, name, first, use_multipart=False)
        else:
            await self._put_parts(name, first, source)
        return Blob(project=project, key=key, bytes=source.bytes, sha256=source.sha256)

    async def _put_parts(self, name: str, first: bytes, source: _Source) -> None:
        writer = obstore.open_writer_async(
            self._bucket,
            name,
            buffer_size=self._part_bytes,
            max_concurrency=self._parts_at_once,
        )
        # Only closing makes the object: a writer that is dropped leaves parts that nobody sees.
        part = first
        while part:
            with _worded(), _bucket_there():
                await writer.write(part)
            part = await source.next()
        with _worded(), _bucket_there():
            await writer.close()

    async def probe(self) -> None:
        """Raises BlobsUnavailable where the bucket does not answer, or is not there."""
        with _worded():
            await anext(obstore.list(self._bucket, chunk_size=1), None)

    async def find(self, project: str, key: str) -> StoredBlob | None:
        """As Blobs.find."""
        name = name_of(project, key)
        try:
            with _worded():
                known = await obstore.head_async(self._bucket, name)
        except FileNotFoundError:
            return None
        return _stored(project, key, known)

    async def read(
        self, project: str, key: str, *, start: int = 0, end: int | None = None
    ) -> AsyncIterator[bytes]:
        """As Blobs.read."""
        name = name_of(project, key)
        try:
            with _worded():
                known = await obstore.head_async(self._bucket, name)
                size = int(known["size"])
                end = size if end is None else min(end, size)
                if start >= end:
                    return
                found = await obstore.get_async(self._bucket, name, options={"range": (start, end)})
        except FileNotFoundError:
            raise BlobMissing(project, key) from None
        stream = found.stream(min_chunk_size=READ_BYTES)
        while True:
            with _worded():
                chunk = await anext(stream, None)
            if chunk is None:
                return
            yield bytes(chunk)

    async def delete(self, project: str, key: str) -> None:
        """As Blobs.delete."""
        name = name_of(project, key)
        try:
            with _worded():
                await obstore.delete_async(self._bucket, name)
        except FileNotFoundError:
            return

    async def stored(self, prefix: str = "") -> AsyncIterator[StoredBlob]:
        """As Blobs.stored."""
        listing = obstore.list(self._bucket)
        while True:
            with _worded():
                batch = await anext(listing, None)
            if batch is None:
                return
            for known in batch:
                place = parsed(str(known["path"]))
                if place is not None and place[1].startswith(prefix):
                    yield _stored(*place, known)


class _Source:
    """A stream in pieces of one size, counted and hashed on their way."""

    def __init__(self, chunks: AsyncIterable[bytes], size: int) -> None:
        self._chunks = aiter(chunks)
        self._size = size
        self._digest = sha256()
        self._waiting = bytearray()
        self.bytes = 0

    async def next(self) -> bytes:
        """The next piece; a shorter one is the last, and an empty one the end."""
        while len(self._waiting) < self._size:
            chunk = await anext(self._chunks, None)
            if chunk is None:
                break
            self._waiting += chunk
        piece = bytes(self._waiting[: self._size])
        del self._waiting[: self._size]
        self.bytes += len(piece)
        # Off the loop: a part of a large blob takes milliseconds.
        await asyncio.to_thread(self._digest.update, piece)
        return piece

    @property
    def sha256(self) -> str:
        """The digest of all pieces so far."""
        return self._digest.hexdigest()


def _stored(project: str, key: str, known: Any) -> StoredBlob:
    at: datetime = known["last_modified"]
    return StoredBlob(project=project, key=key, bytes=known["size"], stored_at=at.timestamp())


@contextmanager
def _worded() -> Iterator[None]:
    """What the bucket's server refuses, as BlobsUnavailable; what is not there stays that."""
    try:
        yield
    except BaseError as error:
        raise BlobsUnavailable(str(error).split("\n")[0][:300]) from error


@contextmanager
def _bucket_there() -> Iterator[None]:
    """Of what is not there when nothing is looked for, the bucket itself is meant."""
    try:
        yield
    except FileNotFoundError as error:
        raise BlobsUnavailable("the bucket is not there") from error
