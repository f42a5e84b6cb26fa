"""What is in the folders of all processes, this one's and those that others have left or have.

A process that runs clears up in its own folder by itself, now and then or when asked. What those
have left that do not run any more is nobody's until somebody takes their folder again.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Awaitable, Callable, Collection, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from famulus.hands import Hands
from famulus_indexes.changes import Key
from famulus_indexes.leftovers import ASKED, RENEW
from famulus_schemas.retention import Data, DataPlace, Orphans, Removed
from famulus_schemas.retrieval import VectorSource


class Residue:
    """Counts and removes files of indexes, wherever they are."""

    def __init__(
        self,
        folder: Path,
        *,
        threads: Hands,
        let_go: Callable[[Key], Awaitable[None]],
        discard: Callable[[Key], Awaitable[None]],
        name_of: Callable[[Key], str],
    ) -> None:
        self._folder = folder
        self._threads = threads
        self._let_go = let_go
        self._discard = discard
        self._name_of = name_of
        self._old: dict[Key, Collection[str]] = {}
        """The marks of the files of stores that were to be renewed."""

    def data_kinds(self, source: Callable[[], VectorSource | None]) -> list[Data]:
        """What the folders have of a project, and of stores that are gone."""

        async def orphans(is_dry: bool) -> Removed:
            return await self.remove_orphans(source(), is_dry=is_dry)

        return [
            DataPlace(name="index files", count=self.count, erase=self.erase, renew=self.renew),
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

    async def renew(self, project: str, store: str) -> bool:
        """Remove a store's files, as `erase`: a document that left one may still be in its pages.

        Whether all are gone that were there when this was first asked.
        """
        key = project, store
        marks = partial(_marks_of, self._folder.parent, self._name_of(key))
        if key not in self._old:
            self._old[key] = await self._threads.do(marks)
            await self._discard(key)
            is_of = partial(_is_of, key)
            await self._threads.do(partial(_remove, self._folder, is_of, renews=True))
        return (await self._threads.do(marks)).isdisjoint(self._old[key])

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


def _is_of(wanted: Key, path: Path, key: Key) -> bool:
    return key == wanted


def _marks_of(folders: Path, name: str) -> frozenset[str]:
    """The marks of a store's files, in the folders of all processes."""
    from famulus_indexes.file import kept_in

    found = [kept_in(path) for path in folders.glob(f"*/{name}")]
    return frozenset(each.mark for each in found if each is not None)


def _remove(own: Path, is_meant: Callable[[Path, Key], bool], *, renews: bool = False) -> None:
    from famulus_indexes.file import kept_in

    for folder in sorted(each for each in own.parent.iterdir() if each.is_dir()):
        with _held(folder, is_ours=folder == own) as is_held:
            for path in sorted(folder.glob("*.db")):
                kept = kept_in(path)
                if kept is None or not is_meant(path, kept.key):
                    continue
                if is_held:
                    _remove_with_all_beside(path)
                    continue
                if renews:
                    path.with_suffix(RENEW).touch()
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
