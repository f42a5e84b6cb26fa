"""What a content is, by how it begins."""

from __future__ import annotations

from collections.abc import Sequence

NEAR_THE_START = 1024
"""A PDF may have something before its header."""

KNOWN = (
    (b"%PDF-", "a PDF"),
    (b"PK\x03\x04", "a ZIP archive, as Word, Excel and PowerPoint write them"),
    (b"PK\x05\x06", "an empty ZIP archive"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old or encrypted Word, Excel or PowerPoint file"),
    (b"\x89PNG\r\n\x1a\n", "a PNG picture"),
    (b"\xff\xd8\xff", "a JPEG picture"),
    (b"GIF8", "a GIF picture"),
    (b"RIFF", "a picture, a sound or a film"),
    (b"II*\x00", "a TIFF picture"),
    (b"MM\x00*", "a TIFF picture"),
    (b"BM", "a BMP picture"),
    (b"ID3", "a sound"),
    (b"OggS", "a sound or a film"),
    (b"fLaC", "a sound"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"BZh", "a bzip2 archive"),
    (b"\xfd7zXZ\x00", "an xz archive"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (b"Rar!", "a RAR archive"),
    (b"\x28\xb5\x2f\xfd", "a zstd archive"),
    (b"\x7fELF", "a program"),
    (b"MZ", "a program"),
    (b"\xca\xfe\xba\xbe", "a program"),
    (b"SQLite format 3\x00", "an SQLite database"),
    (b"{\\rtf", "an RTF file"),
    (b"%!PS", "a PostScript file"),
)
_SHORT = frozenset({b"BM", b"MZ", b"ID3", b"BZh", b"GIF8", b"RIFF", b"OggS", b"fLaC", b"Rar!"})
"""Words could begin with these; it is one of these only where there is more that no text has."""

BYTE_ORDER_MARKS = (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")


def has(head: bytes, signatures: Sequence[bytes]) -> bool:
    """Whether the content begins with one of these, or nearly."""
    return any(signature in head[:NEAR_THE_START] for signature in signatures)


def what_it_is(head: bytes) -> str | None:
    """In words, where it is of a form that is known and no text."""
    for signature, words in KNOWN:
        if head.startswith(signature) and (signature not in _SHORT or not is_text(head)):
            return words
    if not is_text(head):
        return "binary data"
    return None


def is_text(head: bytes) -> bool:
    """Whether it may be text in some encoding."""
    return head.startswith(BYTE_ORDER_MARKS) or b"\x00" not in head or _is_utf_16(head)


def _is_utf_16(head: bytes) -> bool:
    # Without its mark it is known by this: in most scripts every other byte is a zero.
    even, odd = head[0:2048:2], head[1:2048:2]
    return max(even.count(0) / len(even), odd.count(0) / max(1, len(odd))) > 0.7 and (
        min(even.count(0), odd.count(0)) == 0
    )
