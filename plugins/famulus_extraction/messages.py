"""What the server and a process that reads files say to each other, and in which frames.

A frame is four bytes of length, big-endian, and as many bytes of MessagePack.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from famulus_schemas.retrieval import Chunk, Chunking

LENGTH_BYTES = 4
REPLY_BYTES_MAX = 65_536
"""A longer reply than any that we send: whoever sends it is not our program any more."""
BATCH_BYTES_MAX = 16_777_216
"""A batch of chunks is far shorter, unless a plugin's chunker makes giant ones."""


class Named(msgspec.Struct, frozen=True, kw_only=True):
    """A function, as another process can find it."""

    module: str
    attribute: str
    file: str | None = None
    """Where the module lies, for one that no import finds: a plugin that is a single file."""


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What a process that reads files may use."""

    memory_bytes_max: int
    output_bytes_max: int
    text_bytes_max: int
    unpacked_bytes_max: int
    unpacked_ratio_max: int
    unpacked_entries_max: int
    wall_s: float
    niceness: int


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """One file to be read."""

    nonce: str
    """Its answer carries it: one that was given before it was asked cannot."""
    source: str
    """Path of the content."""
    output: str
    """Path of the file for the chunks, which is there and empty."""
    kind: str
    """What the file is, for sentences: the extractor's name."""
    extractor: Named
    chunker: Named
    chunking: Chunking


class Ready(msgspec.Struct, frozen=True, kw_only=True, tag="ready"):
    """The process is up and under its limits."""


class Done(msgspec.Struct, frozen=True, kw_only=True, tag="done"):
    """The file's chunks are in the output, so many of them."""

    nonce: str
    chunks: int


class Refused(msgspec.Struct, frozen=True, kw_only=True, tag="refused"):
    """The file cannot be read, for a reason that lies in it."""

    nonce: str
    message: str
    limit: str | None = None
    """Which limit it met, where a fresh process could do better: `memory` or `time`."""


class Failed(msgspec.Struct, frozen=True, kw_only=True, tag="failed"):
    """The process or a plugin is at fault."""

    nonce: str
    message: str


Reply = Ready | Done | Refused | Failed

_reply = msgspec.msgpack.Decoder(Reply)
_batch = msgspec.msgpack.Decoder(list[Chunk])


def frame(message: Job | Limits | Reply | Sequence[Chunk]) -> bytes:
    """A message as it is sent."""
    body = msgspec.msgpack.encode(message)
    return len(body).to_bytes(LENGTH_BYTES, "big") + body


def decode_reply(body: bytes) -> Reply:
    """A reply. Raises ValueError for what is none."""
    reply: Reply = _reply.decode(body)
    return reply


def decode_batch(body: bytes) -> Sequence[Chunk]:
    """Chunks in order. Raises ValueError for what are none: their maker is not trusted."""
    chunks = _batch.decode(body)
    for chunk in chunks:
        if chunk.start < 0 or chunk.end - chunk.start != len(chunk.text) or chunk.tokens < 0:
            raise ValueError("a chunk is not what it says of itself")
        if chunk.page is not None and chunk.page < 1:
            raise ValueError("a chunk is on a page that there cannot be")
    return chunks
