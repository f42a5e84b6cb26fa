"""A folder that is this process's alone, of those that processes before it have left."""

from __future__ import annotations

import fcntl
import itertools
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def taken_slot(folder: Path) -> Iterator[Path]:
    """The first folder in `folder` that no other process has, until left.

    What a process kept there is found by the next one that takes it.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for number in itertools.count():
        slot = folder / str(number)
        slot.mkdir(mode=0o700, exist_ok=True)
        descriptor = os.open(slot / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            continue
        try:
            yield slot
        finally:
            os.close(descriptor)
        return
