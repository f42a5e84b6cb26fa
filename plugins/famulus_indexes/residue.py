"""What is in the folders of all processes, this one's and those that others have left or have.

A process that runs clears up in its own folder by itself, now and then or when asked. What those
have left that do not run any more is nobody's until somebody takes their folder again.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from famulus.hands import Hands
from famulus_indexes.changes import Key
from famulus_indexes.leftovers import ASKED
from famulus_schemas.retention import Data, DataPlace, Orphans, Removed
from famulus_schemas.retrieval import VectorSource


class Residue:
    """Counts and removes files of indexes, wherever they are."""

    def __init__(
        self, folder: Path, *, threads: Hands, let_go: Callable[[Key], Awaitable[None]]
    ) -> None:
        self._folder = folder
        self._threads = threads
        self._let_go = let_go

    def data_kinds(self, source: Callable[[], VectorSource | None]) -> list[Data]:
        """What the folders have of a project, and of stores that are gone."""

        async def orphans(is_dry: bool) -> Removed:
            return await self.remove_orphans(source(), is_dry=is_dry)

        return [
            DataPlace(name="index files", count=self.count, erase=self.erase),
            Orphans(name="index files of no store", remove=orphans),
        ]

    async def count(self, project: str) -> int:
        """Files of a project in the folders of all processes."""
        return len(await self._threads.do(partial(_files_of, self._folder.parent, project)))

    async def erase(self, project: str) -> None:
        """Remove a project's files; those who have a folder are asked to clear it up now."""
        for _, key in await self._threads.do(partial(_files_of, self._folder.parent, project)):
            await self._let_go(key)
        await self._threads.do(partial(_remove, self._folder, lambda _, key: key[0] == project))

    async def remove_orphans(self, source: VectorSource | None, *, is_dry: bool) -> Removed:
        """Remove the files of stores that are gone, as `erase`."""
        if source is None:
            return Removed(count=0)
        gone: dict[Path, int] = {}
        for path, key in await self._threads.do(partial(_files_of, self._folder.parent, None)):
            if not (await source.state(*key)).documents:
                gone[path] = path.stat().st_size
                if not is_dry:
                    await self._let_go(key)
        if not is_dry:
            await self._threads.do(partial(_remove, self._folder, lambda path, _: path in gone))
        return Removed(count=len(gone), bytes=sum(gone.values()))


def _files_of(folders: Path, project: str | None) -> list[tuple[Path, Key]]:
    # numpy is imported with it, off the loop.
    from famulus_indexes.file import kept_in

    found = []
    for path in sorted(folders.glob("*/*.db")):
        kept = kept_in(path)
        if kept is not None and project in (None, kept.key[0]):
            found.append((path, kept.key))
    return found


def _remove(own: Path, is_meant: Callable[[Path, Key], bool]) -> None:
    from famulus_indexes.file import kept_in

    for folder in sorted(each for each in own.parent.iterdir() if each.is_dir()):
        with _held(folder, is_ours=folder == own) as is_held:
            for path in sorted(folder.glob("*.db")):
                kept = kept_in(path)
                if kept is None or not is_meant(path, kept.key):
                    continue
                if is_held:
                    _remove_with_all_beside(path)
                else:
                    (folder / ASKED).touch()


def _remove_with_all_beside(path: Path) -> None:
    # The file that says whose they are goes last, so that none is left that nobody knows.
    for each in sorted(path.parent.glob(f"{path.stem}.*"), key=lambda each: each == path):
        each.unlink(missing_ok=True)


@contextmanager
def _held(folder: Path, *, is_ours: bool) -> Iterator[bool]:
    """Whether nobody else has the folder, nor can take it until this is left."""
    if is_ours:
        yield True
        return
    descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        is_free = True
    except BlockingIOError:
        is_free = False
    try:
        yield is_free
    finally:
        os.close(descriptor)
