"""How large a picture is once it is unpacked, by what its first bytes say."""

from __future__ import annotations

from collections.abc import Callable

Size = tuple[int, int]
"""Width and height."""
SEGMENTS_MAX = 4_096
"""Of a JPEG, those that may come before its size; each says how long it is."""
_NO_SIZE = frozenset((0xC4, 0xC8, 0xCC))
"""Segments that are numbered among those that have a size, and have none."""


def size_of(content: bytes) -> Size | None:
    """Width and height of a PNG, JPEG, GIF or WebP; None where it does not say them."""
    for begins, read in _READERS:
        if content.startswith(begins):
            size = read(content)
            return size if size and min(size) > 0 else None
    return None


def _png(content: bytes) -> Size | None:
    if content[12:16] != b"IHDR" or len(content) < 24:
        return None
    return int.from_bytes(content[16:20], "big"), int.from_bytes(content[20:24], "big")


def _gif(content: bytes) -> Size | None:
    """The canvas; a frame that is larger is cut off by it."""
    if len(content) < 10:
        return None
    return int.from_bytes(content[6:8], "little"), int.from_bytes(content[8:10], "little")


def _jpeg(content: bytes) -> Size | None:
    at = 2
    for _ in range(SEGMENTS_MAX):
        while content[at : at + 2] == b"\xff\xff":
            at += 1
        if len(content) < at + 9 or content[at] != 0xFF:
            return None
        kind = content[at + 1]
        if 0xC0 <= kind <= 0xCF and kind not in _NO_SIZE:
            height = int.from_bytes(content[at + 5 : at + 7], "big")
            return int.from_bytes(content[at + 7 : at + 9], "big"), height
        if kind in (0xD9, 0xDA):
            return None
        at += 2 + int.from_bytes(content[at + 2 : at + 4], "big")
    return None


def _webp(content: bytes) -> Size | None:
    kind = content[12:16]
    if len(content) < 30:
        return None
    if kind == b"VP8X":
        width, height = (int.from_bytes(content[at : at + 3], "little") for at in (24, 27))
        return width + 1, height + 1
    if kind == b"VP8L":
        bits = int.from_bytes(content[21:25], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if kind == b"VP8 " and content[23:26] == b"\x9d\x01\x2a":
        width, height = (int.from_bytes(content[at : at + 2], "little") for at in (26, 28))
        return width & 0x3FFF, height & 0x3FFF
    return None


_READERS: tuple[tuple[bytes, Callable[[bytes], Size | None]], ...] = (
    (b"\x89PNG\r\n\x1a\n", _png),
    (b"\xff\xd8\xff", _jpeg),
    (b"GIF8", _gif),
    (b"RIFF", _webp),
)
