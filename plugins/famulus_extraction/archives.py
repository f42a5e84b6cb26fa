"""Looks at files that are ZIP archives, as Word, Excel and PowerPoint write them, before libraries.

No part of an archive is unpacked any further than to the size that the archive says it has; so
what it says of its parts can be added up.
"""

from __future__ import annotations

import zipfile
from pathlib import Path

from famulus_extraction.messages import Limits
from famulus_extraction.unreadable import Unreadable, damaged_otherwise

SIGNATURE = b"PK\x03\x04"
SMALL_BYTES = 10_485_760
"""What is not larger than this when unpacked is no bomb, whatever its ratio is."""
READ_BYTES = 1_048_576
DECLARATIONS = tuple(
    word.encode(encoding)
    for word in ("<!DOCTYPE", "<!ENTITY")
    for encoding in ("ascii", "utf-16-le", "utf-16-be")
)
LONGEST = max(map(len, DECLARATIONS))


def is_archive(path: Path) -> bool:
    """Whether the file begins as an archive does."""
    with path.open("rb") as file:
        return file.read(len(SIGNATURE)) == SIGNATURE


def check_archive(path: Path, limits: Limits) -> None:
    """Raise Unreadable for what is too much when unpacked, or not whole."""
    with damaged_otherwise("an archive"), zipfile.ZipFile(path) as archive:
        parts = archive.infolist()
    if len(parts) > limits.unpacked_entries_max:
        raise Unreadable(
            f"The file has {len(parts)} parts, more than the {limits.unpacked_entries_max} "
            "that one may have."
        )
    size = sum(part.file_size for part in parts)
    if size > limits.unpacked_bytes_max:
        raise Unreadable("The file is too large when it is unpacked.")
    if size > SMALL_BYTES and size > path.stat().st_size * limits.unpacked_ratio_max:
        raise Unreadable(
            f"The file unpacks to more than {limits.unpacked_ratio_max} times its size, as only "
            "archives do that are meant to do harm."
        )


def check_office(path: Path, *, holds: str, what: str) -> None:
    """Raise Unreadable for what is no file of an office program, which has the part `holds`."""
    with damaged_otherwise(what), zipfile.ZipFile(path) as archive:
        parts = archive.infolist()
        if any(part.flag_bits & 1 for part in parts):
            raise Unreadable("The file is encrypted; save it without a password.")
        if holds not in {part.filename for part in parts}:
            raise Unreadable(f"The file is an archive, but not {what}: it has no {holds}.")
        for part in parts:
            if part.filename.endswith((".xml", ".rels", ".vml")):
                _check_part(archive, part)


def _check_part(archive: zipfile.ZipFile, part: zipfile.ZipInfo) -> None:
    """No office program writes a document type; it is how entities are brought in."""
    before = b""
    with archive.open(part) as file:
        while piece := file.read(READ_BYTES):
            if any(each in before + piece for each in DECLARATIONS):
                raise Unreadable("The file declares entities, which no office program does.")
            before = piece[-LONGEST:]
