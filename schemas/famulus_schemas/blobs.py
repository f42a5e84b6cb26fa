"""The blob store's contract: streams of bytes that are kept as a whole, under the writer's key.

A key is used by one project, is of the writer's making and never a client's text. A `put` that
has returned is on disk; one that has not leaves nothing that can be found.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterable, AsyncIterator
from typing import Protocol

import msgspec

BLOB_KEY = re.compile(r"[A-Za-z0-9_-]{1,128}")


class Blob(msgspec.Struct, frozen=True, kw_only=True):
    """What was put."""

    project: str
    key: str
    bytes: int
    sha256: str
    """Of the content, as lower-case hexadecimal digits."""


class StoredBlob(msgspec.Struct, frozen=True, kw_only=True):
    """What is there."""

    project: str
    key: str
    bytes: int
    stored_at: float
    """Unix seconds, by the store's clock."""


class BlobMissing(LookupError):
    """There is no such blob in the project."""

    def __init__(self, project: str, key: str) -> None:
        self.project = project
        self.key = key
        super().__init__(f"there is no blob {key!r}")


class BlobDamaged(Exception):
    """A blob's content is not what was put."""


class BlobsUnavailable(Exception):
    """The store cannot be used now: the disk is full, or the server is gone."""


class Blobs(Protocol):
    """What `need(BLOBS)` gives: files of any size, in constant memory. All keys are checked.

    Everything raises BlobsUnavailable where the store cannot be used now.
    """

    async def put(self, project: str, key: str, chunks: AsyncIterable[bytes]) -> Blob:
        """Keep a stream durably, in place of what the key held, once it has ended.

        What the stream raises is raised on, and nothing of it is kept.
        """
        ...

    async def find(self, project: str, key: str) -> StoredBlob | None:
        """What is known of a blob without reading it."""
        ...

    def read(
        self, project: str, key: str, *, start: int = 0, end: int | None = None
    ) -> AsyncIterator[bytes]:
        """The bytes from `start` up to `end`, which is not read any more; fewer where it ends.

        One that was begun is read to its end, also where the blob is deleted meanwhile. Raises
        BlobMissing.
        """
        ...

    async def delete(self, project: str, key: str) -> None:
        """Remove a blob for good; nothing where there is none."""
        ...

    def stored(self, prefix: str = "") -> AsyncIterator[StoredBlob]:
        """Every blob of every project whose key begins like this, in no order."""
        ...


def check_key(key: str) -> str:
    """The key itself. Raises ValueError for one that only a bug can make."""
    if BLOB_KEY.fullmatch(key) is None:
        raise ValueError(f"{key!r} is no key of a blob: it has letters, digits, - and _")
    return key
