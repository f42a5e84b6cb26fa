"""Paths of files in a box: names for people, and never paths of this machine."""

from __future__ import annotations

import unicodedata

from famulus_schemas.sandbox import HOME, BoxFileRefused

PATH_BYTES_MAX = 1024
NAME_BYTES_MAX = 200
"""Less than a file system takes, so that there is room for a suffix while it is written."""


def is_path(path: str) -> bool:
    """Whether it is a relative path of plain names."""
    if not 0 < len(path.encode(errors="replace")) <= PATH_BYTES_MAX:
        return False
    names = path.split("/")
    return (
        all(name not in ("", ".", "..") for name in names)
        and all(len(name.encode(errors="replace")) <= NAME_BYTES_MAX for name in names)
        and not any(unicodedata.category(each) in ("Cc", "Cs") for each in path)
    )


def checked(path: str) -> str:
    """The path relative to the home. Raises BoxFileRefused for one that is none."""
    relative = path.removeprefix(HOME + "/")
    if not is_path(relative):
        raise BoxFileRefused(f"{path[:200]!r} is no path of a file below {HOME}")
    return relative
