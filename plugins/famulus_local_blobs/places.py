"""Where in the folder a blob lies: `<project>/<2 digits>/<key>`, and never a client's text."""

from __future__ import annotations

import os
from hashlib import sha256
from pathlib import Path
from urllib.parse import quote, unquote

from famulus_schemas.blobs import check_key

PROJECT_BYTES_MAX = 240
UNFINISHED = ".unfinished"
"""The folder of what is being written; no project is named so, as dots are escaped."""


class Places:
    """The paths below one folder."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.unfinished = root / UNFINISHED

    def prepare(self) -> None:
        """Make the folders that must be there."""
        self.root.parent.mkdir(parents=True, exist_ok=True)
        make_folder(self.unfinished, below=self.root)

    def of(self, project: str, key: str) -> Path:
        """The path of a blob. Raises ValueError for a key or a project that cannot be one."""
        shard = sha256(key.encode()).hexdigest()[:2]
        return self.root / escaped(project) / shard / check_key(key)

    def projects(self) -> list[tuple[str, Path]]:
        """Every project that has a folder."""
        folders = sorted(path for path in self.root.iterdir() if path.name != UNFINISHED)
        return [(unquote(path.name), path) for path in folders if path.is_dir()]


def escaped(project: str) -> str:
    """A project's name as that of a folder."""
    name = quote(project, safe="").replace(".", "%2E")
    if not 0 < len(name) <= PROJECT_BYTES_MAX:
        raise ValueError(f"the project's name is too long for a folder: {project[:40]}...")
    return name


def make_folder(path: Path, *, below: Path) -> None:
    """Make a folder and those above it, durably."""
    if path.is_dir():
        return
    if path != below:
        make_folder(path.parent, below=below)
    path.mkdir(mode=0o700, exist_ok=True)
    sync_folder(path.parent)


def sync_folder(path: Path) -> None:
    """Have on disk which files a folder has."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
