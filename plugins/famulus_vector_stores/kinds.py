"""The records that this plugin owns, and their forms."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import blake2b

import msgspec

from famulus_schemas.records import Guard, Insert, Kind, Record
from famulus_schemas.retrieval import Chunking
from famulus_schemas.tools import (
    AutoChunkingStrategy,
    ChunkingStrategy,
    StaticChunking,
    StaticChunkingStrategy,
)
from famulus_schemas.vector_stores import (
    FileBatch,
    StaticChunkingUsed,
    VectorStore,
    VectorStoreFile,
)

AUTO = StaticChunking(max_chunk_size_tokens=800, chunk_overlap_tokens=400)


class StoreExtra(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a store keeps and never sends."""

    model: str
    """What all of it is embedded with, for good."""
    dimensions: int = 0
    """Numbers in a vector; 0 until the first file is there."""
    generation: int = 1
    """One more with each change of what can be found."""
    description: str = ""


class FileExtra(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a file of a store keeps and never sends."""

    document: str
    """Under which its chunks are kept: another one each time that it is added."""
    batch: str = ""
    filename: str = ""
    chunks: int = 0
    principal: str = ""
    """Who had it read; empty where that is not known."""
    key: str = ""
    """With which API key, by its id."""


encode = msgspec.json.Encoder().encode
encode_extra = msgspec.msgpack.Encoder().encode
decode_store = msgspec.json.Decoder(VectorStore).decode
decode_store_extra = msgspec.msgpack.Decoder(StoreExtra).decode
decode_file = msgspec.json.Decoder(VectorStoreFile).decode
decode_file_extra = msgspec.msgpack.Decoder(FileExtra).decode
decode_batch = msgspec.json.Decoder(FileBatch).decode
decode_members = msgspec.json.Decoder(tuple[str, ...]).decode


def store_index(store: VectorStore) -> dict[str, str]:
    """The indexed names of a store."""
    may_expire = store.expires_at is not None and store.status != "expired"
    return {"expires": "yes"} if may_expire else {}


def file_index(file: VectorStoreFile, extra: FileExtra) -> dict[str, str]:
    """The indexed names of a file of a store."""
    index: dict[str, str] = {"status": file.status}
    if extra.batch:
        index["batch"] = extra.batch
    return index


def _store_index(record: Record) -> Mapping[str, str]:
    return store_index(decode_store(record.body))


def _file_index(record: Record) -> Mapping[str, str]:
    return file_index(decode_file(record.body), decode_file_extra(record.extra))


STORE = Kind(name="vector_store", indexes=("expires",), index_of=_store_index)
FILE = Kind(
    name="vector_store_file",
    indexes=("status", "batch"),
    index_of=_file_index,
)
"""A file of a store. Parent: the store; its id names both. Its fence is that of its document."""
BATCH = Kind(name="vector_store_batch")
"""Files that were added at once. Parent: the store."""
MEMBERSHIP = Kind(name="vector_store_membership")
"""The stores that a file is in. Id and parent: the file."""
CHUNKS = Kind(name="vector_store_chunks")
"""Some chunks of a document, one after the other. Parent: a segment of the document."""

KINDS = (STORE, FILE, BATCH, MEMBERSHIP, CHUNKS)


def file_key(store_id: str, file_id: str) -> str:
    """The id of the record of a file in a store."""
    return f"{store_id}/{file_id}"


def fence_of(document: str) -> int:
    """What tells a document from what was added under the same id before or after it."""
    return int.from_bytes(blake2b(document.encode(), digest_size=8).digest()) >> 1


def still_there(store_id: str, file_id: str, document: str) -> Guard:
    """Refuses a unit once the file has left the store, even if it was added again."""
    return Guard(kind="vector_store_file", id=file_key(store_id, file_id), fence=fence_of(document))


def insert_store(store: VectorStore, extra: StoreExtra) -> Insert:
    """The write that adds a store."""
    return Insert(
        kind="vector_store",
        id=store.id,
        created_at=store.created_at,
        body=encode(store),
        extra=encode_extra(extra),
        index=store_index(store),
    )


def insert_file(file: VectorStoreFile, extra: FileExtra) -> Insert:
    """The write that adds a file to a store."""
    return Insert(
        kind="vector_store_file",
        id=file_key(file.vector_store_id, file.id),
        parent=file.vector_store_id,
        created_at=file.created_at,
        body=encode(file),
        extra=encode_extra(extra),
        fence=fence_of(extra.document),
        index=file_index(file, extra),
    )


def used(strategy: ChunkingStrategy | msgspec.UnsetType) -> StaticChunkingUsed:
    """How files are cut up where a client asks for this: `auto` is told as what it does."""
    if strategy is msgspec.UNSET or isinstance(strategy, AutoChunkingStrategy):
        return StaticChunkingUsed(static=AUTO)
    assert isinstance(strategy, StaticChunkingStrategy)
    return StaticChunkingUsed(static=strategy.static)


def chunking_of(file: VectorStoreFile) -> Chunking:
    """The sizes that a file is cut up by."""
    strategy = file.chunking_strategy
    static = strategy.static if isinstance(strategy, StaticChunkingUsed) else AUTO
    return Chunking(
        max_tokens=static.max_chunk_size_tokens, overlap_tokens=static.chunk_overlap_tokens
    )
