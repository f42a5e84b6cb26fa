"""Frames between the server and a box: the lengths of a head and of a blob, and then both.

What comes from a box may be anything. A frame that is none of ours is a ForgedFrame, and the end of
the box: nothing after it can be told apart from what the code in the box made up.
"""

from __future__ import annotations

import struct
from typing import Any, Literal

import msgspec

_HEAD = struct.Struct("!II")

HEAD_BYTES_MAX = 1_000_000
"""Text of 100 kB may be six times as long as JSON."""
BLOB_BYTES_MAX = 65_536
SIZE_MAX = 2**53
"""As large as a number in JSON can be for everybody."""

ReplyKind = Literal[
    "done",
    "result",
    "error",
    "cut",
    "image",
    "data",
    "changed",
    "deleted",
    "file",
    "missing",
    "refused",
]


class Reply(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a box says. Flat, so that no nesting of it can be deep."""

    id: int
    kind: ReplyKind
    text: str = ""
    name: str = ""
    size: int = 0


class ForgedFrame(Exception):
    """The box sent what none of ours sends."""


_decoder = msgspec.json.Decoder(Reply)


def packed(head: dict[str, Any], blob: bytes = b"") -> bytes:
    """A frame for the box."""
    text = msgspec.json.encode(head)
    return _HEAD.pack(len(text), len(blob)) + text + blob


class FrameReader:
    """Frames out of bytes as they come."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> None:
        """Take in what was read."""
        self._buffer += data

    def next(self) -> tuple[Reply, bytes] | None:
        """The next whole frame, if there is one. Raises ForgedFrame."""
        if len(self._buffer) < _HEAD.size:
            return None
        head, blob = _HEAD.unpack_from(self._buffer)
        if head > HEAD_BYTES_MAX or blob > BLOB_BYTES_MAX:
            raise ForgedFrame("it is too long")
        end = _HEAD.size + head + blob
        if len(self._buffer) < end:
            return None
        frame = bytes(self._buffer[_HEAD.size : end])
        del self._buffer[:end]
        try:
            reply = _decoder.decode(frame[:head])
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise ForgedFrame("it is no reply") from error
        if not 0 <= reply.size <= SIZE_MAX:
            raise ForgedFrame("it tells a size that nothing has")
        return reply, frame[head:]
