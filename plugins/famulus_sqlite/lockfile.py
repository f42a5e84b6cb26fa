"""The lock file that lets one process at a time have a database.

Two processes writing one SQLite file would starve each other, and the numbering of records is
kept in the memory of the one that writes.
"""

from __future__ import annotations

import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from famulus_sqlite.errors import DatabaseInUse


class Owner(msgspec.Struct, frozen=True, kw_only=True):
    """Who holds a lock; what the file says."""

    pid: int
    host: str
    since: str


@contextmanager
def locked(database: Path, *, now: float) -> Iterator[None]:
    """Hold the database's lock file. Raises DatabaseInUse naming the owner.

    The operating system lets go of the lock when the process ends, however it ends.
    """
    path = database.with_name(database.name + ".lock")
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        _take(descriptor, path, database)
        since = datetime.fromtimestamp(now, UTC).isoformat(timespec="seconds")
        owner = Owner(pid=os.getpid(), host=socket.gethostname(), since=since)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, msgspec.json.encode(owner) + b"\n", 0)
        yield
        # Emptied, not removed: a waiting process may hold the same file open.
        os.ftruncate(descriptor, 0)
    finally:
        os.close(descriptor)


def _take(descriptor: int, path: Path, database: Path) -> None:
    try:
        # flock belongs to the open file, so a second store of this process is refused too.
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise DatabaseInUse(
            f"{database} is in use by {_owner(descriptor)} (lock file {path}); SQLite serves one "
            "process: stop that one, give this one a data_dir of its own, or use PostgreSQL"
        ) from error


def _owner(descriptor: int) -> str:
    try:
        owner = msgspec.json.decode(os.pread(descriptor, 4096, 0), type=Owner)
    except msgspec.MsgspecError:
        return "another process"
    return f"process {owner.pid} on {owner.host} since {owner.since}"
