"""One blob on its way to the disk: beside its place until it is whole, and locked meanwhile."""

from __future__ import annotations

import fcntl
import os
import secrets
from hashlib import sha256
from pathlib import Path

from famulus.failpoints import failpoint
from famulus_local_blobs.places import Places, make_folder, sync_folder


class Unfinished:
    """A file that nobody finds until `finish`. Its methods block: they are for threads."""

    def __init__(self, places: Places) -> None:
        self._places = places
        self._path = places.unfinished / secrets.token_hex(16)
        self._digest = sha256()
        self._descriptor = -1
        self.bytes = 0

    def open(self) -> None:
        """Make the file. Its lock says that somebody is at it: see `remove_leftovers`."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
        self._descriptor = os.open(self._path, flags, 0o600)
        fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def write(self, data: bytes) -> None:
        """Add to the end."""
        self._digest.update(data)
        self.bytes += len(data)
        view = memoryview(data)
        while view:
            view = view[os.write(self._descriptor, view) :]

    def finish(self, place: Path, *, now: float) -> str:
        """Put the file in its place, durably; the digest of its content."""
        os.utime(self._descriptor, (now, now))
        os.fsync(self._descriptor)
        make_folder(place.parent, below=self._places.root)
        failpoint("blob_before_placed")
        # Raises where somebody took it away; then there is nothing in its place.
        os.rename(self._path, place)
        sync_folder(place.parent)
        failpoint("blob_placed")
        return self._digest.hexdigest()

    def close(self) -> None:
        """Let go of the file, and remove it unless it is in its place."""
        if self._descriptor < 0:
            return
        self._path.unlink(missing_ok=True)
        os.close(self._descriptor)
        self._descriptor = -1


def remove_leftovers(places: Places) -> int:
    """Remove what processes left that died while they wrote; how many files."""
    removed = 0
    for path in places.unfinished.iterdir():
        try:
            descriptor = os.open(path, os.O_RDONLY)
        except FileNotFoundError:
            continue
        try:
            # Another server that shares the folder holds the lock of what it writes.
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink(missing_ok=True)
            removed += 1
        except BlockingIOError:
            pass
        finally:
            os.close(descriptor)
    return removed
