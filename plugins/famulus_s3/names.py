"""What a blob is called in the bucket: `<project>/<key>`, and never a client's text."""

from __future__ import annotations

import re

from famulus_schemas.blobs import check_key

NAME_BYTES_MAX = 800
"""S3 allows 1024 for the whole name, prefix and all."""

_ESCAPED = re.compile(r"!([0-9A-F]{2})")


def name_of(project: str, key: str) -> str:
    """The name of a blob. Raises ValueError for a key or a project that cannot be one."""
    return f"{escaped(project)}/{check_key(key)}"


def escaped(project: str) -> str:
    """A project's name in characters that mean nothing in a name of S3."""
    name = "".join(_safe(byte) for byte in project.encode())
    if not 0 < len(name) <= NAME_BYTES_MAX:
        raise ValueError(f"the project's name is too long for a bucket: {project[:40]}...")
    return name


def _safe(byte: int) -> str:
    character = chr(byte)
    plain = character.isascii() and (character.isalnum() or character in "-_")
    return character if plain else f"!{byte:02X}"


def parsed(name: str) -> tuple[str, str] | None:
    """Project and key of a name; None for what is no blob of ours."""
    project, slash, key = name.partition("/")
    if not slash or "/" in key:
        return None
    data = _ESCAPED.sub(lambda found: chr(int(found[1], 16)), project).encode("latin-1")
    try:
        return data.decode(), check_key(key)
    except ValueError:
        return None
