"""Bytes to text, whatever their encoding is."""

from __future__ import annotations

from pathlib import Path

from famulus_extraction.signatures import what_it_is
from famulus_extraction.unreadable import Unreadable

MARKS = (
    (b"\xef\xbb\xbf", "utf-8"),
    (b"\xff\xfe\x00\x00", "utf-32-le"),
    (b"\x00\x00\xfe\xff", "utf-32-be"),
    (b"\xff\xfe", "utf-16-le"),
    (b"\xfe\xff", "utf-16-be"),
)
SAMPLE_BYTES = 262_144
"""How much is looked at to tell an encoding."""
HEAD_BYTES = 4096
REPLACED_MAX = 0.05
"""If more than this part of the characters is none, it is no text in that encoding."""


def read_as_text(path: Path) -> str:
    """The file's text. Raises Unreadable where it is none."""
    return decoded(path.read_bytes())


def decoded(content: bytes) -> str:
    """The text: by its byte order mark, as UTF-8, or in what it looks like."""
    for mark, encoding in MARKS:
        if content.startswith(mark):
            return _checked(content[len(mark) :].decode(encoding, errors="replace"))
    found = what_it_is(content[:HEAD_BYTES])
    if found == "binary data" or found is None:
        return _without_mark(content)
    raise Unreadable(f"The file is not text: it is {found}.")


def _without_mark(content: bytes) -> str:
    if b"\x00" not in content:
        try:
            return content.decode()
        except UnicodeDecodeError as error:
            if error.end == len(content) and error.reason == "unexpected end of data":
                # A file that was cut off.
                return content.decode(errors="replace")
    from charset_normalizer import from_bytes

    best = from_bytes(content[:SAMPLE_BYTES]).best()
    if best is None:
        raise Unreadable("The file is not text in any encoding that is known.")
    return _checked(content.decode(best.encoding, errors="replace"))


def _checked(text: str) -> str:
    strange = text.count("\ufffd") + text.count("\x00")
    if strange > len(text) * REPLACED_MAX:
        raise Unreadable("The file is not text in the encoding that it seems to have.")
    return text
