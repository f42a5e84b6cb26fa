"""The index of one store: what of it is brought in, and search in that."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence, Set
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple, TypeVar

from famulus.hands import Hands
from famulus.log import Log
from famulus_indexes.file import Damaged, Part, StoreFile, is_damage, remove
from famulus_indexes.filtering import Documents, Flags
from famulus_indexes.matrix import Found, Matrix, Rows, rows_of
from famulus_indexes.matrix import Vectors as Row
from famulus_schemas.records import StoreUnavailable
from famulus_schemas.retrieval import Hit, Predicate, StoreState, VectorSource

WRITTEN_ENTRIES: Final = 256
"""Chunks that are brought in by one transaction."""
ATTEMPTS_MAX: Final = 2
"""A file that turns out to be damaged is made anew; one that does so twice is not the matter."""

T = TypeVar("T")


class View(NamedTuple):
    """What is searched: one generation of the store, whatever happens to it meanwhile."""

    documents: Documents
    rows: Rows
    file: StoreFile

    def hits(self, found: Found) -> list[Hit]:
        """What was found, by the names of its documents."""
        names = self.documents.names
        columns = found.documents, found.numbers, found.scores.clip(-1.0, 1.0)
        return [
            Hit(document=names[document], number=number, score=score)
            for document, number, score in zip(*(each.tolist() for each in columns), strict=True)
        ]


class Held(NamedTuple):
    """What is open of a store."""

    file: StoreFile
    matrix: Matrix
    ids: dict[str, int]


class StoreIndex:
    """One store. `bring_in` and `close` are called by one at a time; searching by anyone."""

    def __init__(self, path: Path, *, threads: Hands, words_max: int, log: Log) -> None:
        self.generation: int | None = None
        """The generation that is searched; None where none is."""
        self.path = path
        self._threads = threads
        self._words_max = words_max
        self._log = log
        self._held: Held | None = None
        self._view: View | None = None

    @property
    def size_bytes(self) -> int:
        """What the index takes of memory."""
        return 0 if self._held is None else self._held.matrix.size_bytes

    async def do(self, work: Callable[[], T]) -> T:
        """What the work gives, done by a thread. Raises what it does, Damaged, StoreUnavailable."""
        try:
            return await self._threads.do(work)
        except sqlite3.DatabaseError as error:
            if is_damage(error):
                raise Damaged(str(error)) from error
            raise StoreUnavailable(f"the index cannot be used: {error}") from error
        except OSError as error:
            raise StoreUnavailable(f"the index cannot be used: {error}") from error

    # -- bringing in ------------------------------------------------------------------------------

    async def bring_in(self, project: str, store: str, source: VectorSource) -> None:
        """Have everything that the source lists now.

        Raises what the source does, and StoreUnavailable for what the disk refuses.
        """
        for attempt in range(1, ATTEMPTS_MAX + 1):
            try:
                await self._bring_in(project, store, source)
                return
            except Damaged as error:
                if attempt == ATTEMPTS_MAX:
                    raise StoreUnavailable(
                        f"the index is damaged again and again: {error}"
                    ) from error
                self._log.warning("index_made_anew", file=self.path.name, reason=str(error))
                await self.discard()

    async def _bring_in(self, project: str, store: str, source: VectorSource) -> None:
        state = await source.state(project, store)
        if not state.documents:
            await self.discard()
            self.generation = state.generation
            return
        held = await self.do(partial(self._hold, (project, store), state.dimensions))
        await self.do(partial(self._forget, held, state.documents.keys()))
        parts: list[Part] = []
        waiting = 0
        for name in state.documents.keys() - held.ids.keys():
            count = 0
            async for entries in source.entries(project, store, name):
                parts.append(Part(name, entries, is_last=False))
                count += len(entries)
                waiting += len(entries)
                if waiting >= WRITTEN_ENTRIES:
                    await self.do(partial(_write, held, parts))
                    parts, waiting = [], 0
            # One without chunks may only be gone, and come back.
            if count or await source.generation(project, store) == state.generation:
                parts.append(Part(name, (), is_last=True))
        await self.do(partial(_write, held, parts))
        await self.do(partial(self._show, held, state))

    def _hold(self, store: tuple[str, str], dimensions: int) -> Held:
        """Open the file and read its vectors, unless that is done."""
        if self._held is not None:
            if self._held.file.dimensions == dimensions:
                return self._held
            self._close()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        file = StoreFile(self.path, store=store, dimensions=dimensions, log=self._log)
        try:
            matrix = Matrix(dimensions)
            for piece in file.pieces():
                matrix.add(*piece)
            self._held = Held(file, matrix, dict(file.documents()))
        except BaseException:
            file.close()
            raise
        return self._held

    def _forget(self, held: Held, listed: Set[str]) -> None:
        gone = held.ids.keys() - listed
        ids = {held.ids[name] for name in gone} | set(held.file.unfinished())
        if not ids:
            return
        held.matrix.remove(ids)
        held.file.forget(sorted(ids))
        for name in gone:
            del held.ids[name]

    def _show(self, held: Held, state: StoreState) -> None:
        names = {held.ids[name]: name for name in state.documents if name in held.ids}
        documents = Documents(names, state.documents)
        self._view = View(documents, held.matrix.view(), held.file)
        self.generation = state.generation

    async def discard(self) -> None:
        """Forget everything, also what is in the data folder."""
        await self.do(self._discard)

    def _discard(self) -> None:
        self._close()
        remove(self.path)

    async def close(self) -> None:
        """Let go of memory and file; nobody may be searching."""
        await self.do(self._close)

    def _close(self) -> None:
        held, self._held, self._view, self.generation = self._held, None, None, None
        if held is not None:
            held.file.close()

    # -- searching --------------------------------------------------------------------------------

    def nearest(self, vector: bytes, where: Predicate | None, limit: int) -> list[Hit]:
        """As Vectors.nearest. Blocks."""
        view = self._view
        if view is None:
            return []
        rows, fits = rows_of([vector], view.file.dimensions)
        if not fits.all():
            raise ValueError(
                f"no vector of {view.file.dimensions} numbers: one of {len(vector)} bytes, which "
                "are not all finite, or all of them 0"
            )
        passing = None if where is None else view.documents.passing(where)
        return view.hits(self._nearest(view, rows[0], passing, limit))

    def _nearest(self, view: View, query: Row, passing: Flags | None, limit: int) -> Found:
        return view.rows.nearest(query, passing, limit)

    def matching(self, text: str, where: Predicate | None, limit: int) -> list[Hit]:
        """As Vectors.matching. Blocks. Raises Closed, and DatabaseError where it is damaged."""
        view = self._view
        if view is None:
            return []
        names = view.documents.names
        among = None
        if where is not None:
            passing = view.documents.passing(where)
            among = [id for id in names if passing[id]]
        found = view.file.matching(
            text, words_max=self._words_max, among=among, keep=names.__contains__, limit=limit
        )
        return [
            Hit(document=names[document], number=number, score=score)
            for document, number, score in found
        ]


def _write(held: Held, parts: Sequence[Part]) -> None:
    if not parts:
        return
    whole, pieces = held.file.write(parts)
    for piece in pieces:
        held.matrix.add(*piece)
    held.ids.update(whole)
