"""The chunks of documents as they are kept: in bundles, which lie in segments.

A bundle is a record of a few chunks, and a segment the list of so many bundles: what is read,
written or cleared at once has a size. A chunk's number says where it is.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

import msgspec

from famulus.failpoints import failpoint
from famulus_schemas.records import Clear, Insert, Record, Records, RecordStore, Unit
from famulus_schemas.retrieval import Chunk

CHUNKS_PER_BUNDLE = 16
BUNDLES_PER_SEGMENT = 64
CHUNKS_PER_SEGMENT = CHUNKS_PER_BUNDLE * BUNDLES_PER_SEGMENT
_KIND = "vector_store_chunks"


class StoredChunk(msgspec.Struct, frozen=True, array_like=True):
    """A chunk with its vector."""

    text: str
    start: int
    end: int
    vector: bytes
    page: int | None = None
    heading: str | None = None


class Bundle(msgspec.Struct, frozen=True, kw_only=True):
    """Some chunks of a document."""

    file_id: str
    first: int
    """The number of the first of them."""
    chunks: tuple[StoredChunk, ...]


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Bundle).decode


def file_of(record: Record) -> str:
    """The file of whose chunks a record has some."""
    return _decode(record.extra).file_id


def stored(chunk: Chunk, vector: bytes) -> StoredChunk:
    """A chunk as it is kept."""
    return StoredChunk(chunk.text, chunk.start, chunk.end, vector, chunk.page, chunk.heading)


def size_of(chunk: StoredChunk) -> int:
    """The bytes that a chunk takes, for `usage_bytes`."""
    return len(chunk.text.encode()) + len(chunk.vector)


def inserts(
    document: str, file_id: str, first: int, chunks: Sequence[StoredChunk], *, now: int
) -> Unit:
    """The writes that add chunks, of which the first is the first of a bundle."""
    assert first % CHUNKS_PER_BUNDLE == 0
    writes = []
    for at in range(0, len(chunks), CHUNKS_PER_BUNDLE):
        number = (first + at) // CHUNKS_PER_BUNDLE
        bundle = Bundle(
            file_id=file_id, first=first + at, chunks=tuple(chunks[at : at + CHUNKS_PER_BUNDLE])
        )
        writes.append(
            Insert(
                kind=_KIND,
                id=_bundle_id(document, number),
                parent=_segment(document, number // BUNDLES_PER_SEGMENT),
                created_at=now,
                body=b"{}",
                extra=_encode(bundle),
            )
        )
    return writes


def _bundle_id(document: str, number: int) -> str:
    return f"{document}/{number}"


def _segment(document: str, number: int) -> str:
    return f"{document}/{number}"


def clears(document: str, chunks: int) -> Unit:
    """The writes that remove a document that is known to have so many chunks."""
    segments = -(-chunks // CHUNKS_PER_SEGMENT)
    return [Clear(kind=_KIND, parent=_segment(document, number)) for number in range(segments)]


class Chunks:
    """Reads and clears documents."""

    def __init__(self, records: RecordStore) -> None:
        self._records = records

    async def bundle(self, project: str, document: str, number: int) -> Bundle | None:
        """The bundle that has the chunk of this number."""
        id = _bundle_id(document, number // CHUNKS_PER_BUNDLE)
        record = await self._records.of(project).get(_KIND, id)
        return None if record is None else _decode(record.extra)

    async def bundles(
        self, project: str, document: str, *, first: int = 0
    ) -> AsyncIterator[Bundle]:
        """The bundles in order, from the one that has the chunk `first`."""
        while (bundle := await self.bundle(project, document, first)) is not None:
            yield bundle
            first = bundle.first + CHUNKS_PER_BUNDLE

    async def clear(self, project: str, document: str, *, guards: Unit = ()) -> int:
        """Remove what there is of a document, a segment at a time; how many there were.

        The last goes first, so that what a crash leaves is found again from the beginning.
        """
        records = self._records.of(project)
        segments = 0
        while await _has_some(records, _segment(document, segments)):
            segments += 1
        for number in reversed(range(segments)):
            clear = Clear(kind=_KIND, parent=_segment(document, number))
            failpoint("chunks_clear_before_commit")
            await records.commit([*guards, clear])
            failpoint("chunks_cleared")
        return segments


async def _has_some(records: Records, parent: str) -> bool:
    return bool((await records.page(_KIND, parent, limit=1)).records)
