"""What was noted and is not written yet: sums in memory, of which there is a limit."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from famulus.failpoints import failpoint
from famulus_schemas.records import Conflict, Insert, StoreUnavailable, SystemRecords
from famulus_usage.cells import Cell, Dimensions, plus

CELLS_PER_EVENT = 500
COMMITS_AT_ONCE = 32

Unsent = tuple[str, Insert, int]
"""The project, what is to be written for it, and how many cells that has."""


class Noted:
    """Adds up by minute, so that a thousand requests in a second are one write."""

    def __init__(
        self,
        records: SystemRecords,
        event: Callable[[list[Cell]], Insert],
        *,
        cells_max: int,
    ) -> None:
        self._records = records
        self._event = event
        self._cells_max = cells_max
        self._cells: dict[tuple[str, int, Dimensions], Cell] = {}
        self._unsent: list[Unsent] = []
        self._unsent_cells = 0
        self.lost = 0
        """Requests whose use was not written down, since there was no room."""

    def __len__(self) -> int:
        return len(self._cells) + self._unsent_cells

    def add(self, project: str, cell: Cell) -> bool:
        """Remember it; False where there is no room, and it is lost."""
        name = (project, cell.at, cell.dimensions)
        known = self._cells.get(name)
        if known is not None:
            self._cells[name] = plus(known, cell)
            return True
        if len(self) >= self._cells_max:
            self.lost += cell.requests
            return False
        self._cells[name] = cell
        return True

    async def write(self) -> bool:
        """Write down all that was noted; False where the store would not have it now."""
        self._unsent += self._taken()
        if not self._unsent:
            return True
        room = asyncio.Semaphore(COMMITS_AT_ONCE)
        done = await asyncio.gather(*(self._send(one, room) for one in self._unsent))
        pairs = zip(self._unsent, done, strict=True)
        self._unsent = [one for one, is_written in pairs if not is_written]
        self._unsent_cells = sum(count for _, _, count in self._unsent)
        return not self._unsent

    def _taken(self) -> Iterable[Unsent]:
        by_project: dict[str, list[Cell]] = {}
        for (project, _, _), cell in self._cells.items():
            by_project.setdefault(project, []).append(cell)
        self._cells = {}
        return [
            (project, self._event(some), len(some))
            for project, cells in by_project.items()
            for some in batched(cells)
        ]

    async def _send(self, one: Unsent, room: asyncio.Semaphore) -> bool:
        project, insert, _ = one
        async with room:
            failpoint("usage_before_written")
            try:
                await self._records.of(project).commit([insert])
            except Conflict:
                # Written before, and only the answer was lost.
                return True
            except StoreUnavailable:
                return False
        failpoint("usage_written")
        return True


def batched(cells: list[Cell]) -> list[list[Cell]]:
    """As many as one event may have at a time."""
    return [cells[at : at + CELLS_PER_EVENT] for at in range(0, len(cells), CELLS_PER_EVENT)]
