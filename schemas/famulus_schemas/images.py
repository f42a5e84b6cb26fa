"""Pictures that models are shown: which kinds there are, and how one is written as a URL."""

from __future__ import annotations

import binascii
import re

PICTURE_KINDS = "PNG, JPEG, GIF or WebP"
"""As a sentence names them."""
HEAD_BYTES = 12
"""Of a content, what its kind is told by."""
WEB_SCHEMES = ("http", "https")

_DATA_HEAD = re.compile(r"data:image/[a-z0-9.+-]+(;[^,;]*)*;base64\Z", re.IGNORECASE)
_HEAD_CHARACTERS = 16
"""Of base64, those that hold the first `HEAD_BYTES`."""


def media_type_of(head: bytes) -> str | None:
    """The media type of a picture by its first `HEAD_BYTES`; None where it is none of ours."""
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if head.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if head.startswith((b"GIF87a", b"GIF89a")):
        return "image/gif"
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return "image/webp"
    return None


def data_url(content: bytes) -> str | None:
    """A picture's content as a URL, under the media type that it has; None where it is none."""
    media_type = media_type_of(content[:HEAD_BYTES])
    if media_type is None:
        return None
    return f"data:{media_type};base64,{binascii.b2a_base64(content, newline=False).decode()}"


def scheme_of(url: str) -> str:
    """The scheme of a URL, in lower case."""
    return url.partition(":")[0].lower()


def data_bytes(url: str) -> int:
    """How many bytes the content of a data URL has, if it is in base64."""
    padding = len(url) - len(url.rstrip("="))
    return max(0, (len(url) - url.find(",") - 1) * 3 // 4 - min(padding, 2))


def with_true_type(url: str) -> str | None:
    """A data URL under the media type that its content has; None where it holds no picture.

    Only its beginning is decoded.
    """
    head, _, payload = url.partition(",")
    if not _DATA_HEAD.match(head):
        return None
    try:
        media_type = media_type_of(binascii.a2b_base64(payload[:_HEAD_CHARACTERS]))
    except ValueError:
        return None
    return None if media_type is None else f"data:{media_type};base64,{payload}"


def is_sound(url: str) -> bool:
    """Whether a data URL holds a picture in base64 without a fault; all of it is decoded."""
    payload = url.partition(",")[2]
    try:
        binascii.a2b_base64(payload, strict_mode=True)
    except ValueError:
        return False
    return with_true_type(url) is not None
