"""Names of given files in a box: what a client called them, made safe and made unique."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection
from pathlib import PurePosixPath

NAME_BYTES_MAX = 180
"""Boxes take 200; a number may be put in."""

_SEPARATOR = re.compile(r"[/\\]")


def name_in_box(filename: str, *, taken: Collection[str]) -> str:
    """The name that a file has in the box's home, different from all that are taken."""
    name = _safe(filename)
    if name not in taken:
        return name
    path = PurePosixPath(name)
    number = 2
    while (numbered := f"{path.stem}_{number}{path.suffix}") in taken:
        number += 1
    return numbered


def _safe(filename: str) -> str:
    """The last part of a name, without what a shell, a terminal or Python would stumble over."""
    last = _SEPARATOR.split(filename)[-1]
    kept = "".join(char for char in unicodedata.normalize("NFC", last) if not _is_odd(char))
    # A name that begins with a dot is hidden, and one with `-` looks like an option.
    name = kept.strip().lstrip(".-~ ").rstrip(". ")
    return _short(name) or "file"


def _is_odd(char: str) -> bool:
    return unicodedata.category(char)[0] == "C" or char in "\u2028\u2029"


def _short(name: str) -> str:
    if len(name.encode()) <= NAME_BYTES_MAX:
        return name
    path = PurePosixPath(name)
    suffix = path.suffix if len(path.suffix.encode()) <= 20 else ""
    stem = path.stem if suffix else name
    return stem.encode()[: NAME_BYTES_MAX - len(suffix.encode())].decode(errors="ignore") + suffix
