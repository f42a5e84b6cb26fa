"""Adds events up to rows by minute, hour and day, each exactly once.

The events go in the very commit in which the rows change. Where others add the same ones up, or
have changed a row, the commit is refused, and it is tried again on what is there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from operator import attrgetter

import msgspec

from famulus.failpoints import failpoint
from famulus_schemas.records import (
    Clear,
    Conflict,
    Delete,
    Insert,
    Record,
    Records,
    Replace,
    StoreUnavailable,
    SystemRecords,
    Unit,
    Write,
)
from famulus_usage.cells import (
    Cell,
    decode_cell,
    decode_cells,
    encode_cells,
    plus,
    row_id,
    summed,
)
from famulus_usage.kinds import EVENT, LEVELS, ROWS, SPENT
from famulus_usage.settings import UsageSettings
from famulus_usage.times import SECONDS, Width, floor, month_of, shelf_of

ATTEMPTS_MAX = 64
CELLS_PER_COMMIT = 500
LATE_S = 2 * SECONDS["1h"]
"""After which no event comes under its hour any more."""
PRUNED_PER_READ = 100
PRUNED_READS_MAX = 1_000


def spent_id(time: str, key: str | None = None) -> str:
    """The id of what a project, or one of its keys, spent in a time such as `month.1793491200`."""
    return f"{time}.project" if key is None else f"{time}.key {key}"


def times_of(at: int) -> tuple[str, str]:
    """The day and the month of a second."""
    return (f"day.{floor(at, '1d')}", f"month.{month_of(at)}")


class Roller:
    """What one process does of it: its own events, and those of processes that are gone."""

    def __init__(
        self,
        records: SystemRecords,
        worker: str,
        settings: UsageSettings,
        clock: Callable[[], float],
    ) -> None:
        self._records = records
        self._worker = worker
        self._settings = settings
        self._clock = clock
        self._emptied: dict[tuple[str, str], int] = {}
        """Lists of events, by project and parent, that hold nothing but the ids of those gone."""

    async def roll(self) -> int:
        """Add up this process's events; how many there were."""
        return await self._roll({"worker": self._worker}, lambda record: True)

    async def adopt(self, *, at_once: bool = False) -> int:
        """Add up what others have left behind; `at_once` where no other can be at work."""
        before = self._clock() - self._settings.adopt_s

        def is_orphan(record: Record) -> bool:
            return at_once or record.created_at < before

        return await self._roll({}, is_orphan)

    async def _roll(self, where: dict[str, str], wanted: Callable[[Record], bool]) -> int:
        count, after = 0, 0
        limit = self._settings.events_max
        while True:
            found = await self._records.scan(EVENT.name, where=where, after_seq=after, limit=limit)
            for project, events in groupby(
                sorted(filter(wanted, found), key=attrgetter("project", "seq")),
                key=attrgetter("project"),
            ):
                for some in _portions(list(events)):
                    count += await self._add_up(project, some)
            if len(found) < limit:
                return count
            after = found[-1].seq

    async def _add_up(self, project: str, events: Sequence[Record]) -> int:
        records = self._records.of(project)
        for _ in range(ATTEMPTS_MAX):
            cells = [cell for event in events for cell in decode_cells(event.body)]
            unit = await self._unit(records, events, cells)
            failpoint("usage_before_rolled")
            try:
                await records.commit(unit)
            except Conflict as conflict:
                if conflict.kind == EVENT.name:
                    events = [event for event in events if await records.get(EVENT.name, event.id)]
                    if not events:
                        return 0
                continue
            failpoint("usage_rolled")
            for event in events:
                self._emptied[project, event.parent] = event.created_at
            return len(events)
        reason = f"{ATTEMPTS_MAX} times, others were faster in adding up usage"
        raise StoreUnavailable(reason)

    async def _unit(self, records: Records, events: Sequence[Record], cells: list[Cell]) -> Unit:
        unit: list[Write] = [Delete(kind=EVENT.name, id=event.id) for event in events]
        rows = [
            (width, cell)
            for width in ROWS
            for cell in summed(
                msgspec.structs.replace(one, at=floor(one.at, width)) for one in cells
            )
        ]
        unit += await asyncio.gather(*(self._row(records, *row) for row in rows))
        unit += await asyncio.gather(
            *(self._spent(records, id, cost) for id, cost in _spent_of(cells).items())
        )
        return unit

    async def _row(self, records: Records, width: Width, cell: Cell) -> Write:
        kind = ROWS[width]
        id = row_id(cell)
        known = await records.get(kind.name, id)
        if known is not None:
            body = encode_cells(plus(decode_cell(known.body), cell))
            return Replace(kind=kind.name, id=id, version=known.version, body=body)
        shelf = f"{shelf_of(cell.at, width)}"
        return Insert(
            kind=kind.name,
            id=id,
            parent=shelf,
            created_at=cell.at,
            body=encode_cells(cell),
            index={"shelf": shelf},
        )

    async def _spent(self, records: Records, id: tuple[str, str], cost: int) -> Write:
        time, name = id
        known = await records.get(SPENT.name, name)
        if known is not None:
            body = b"%d" % (int(known.body) + cost)
            return Replace(kind=SPENT.name, id=name, version=known.version, body=body)
        return Insert(
            kind=SPENT.name,
            id=name,
            parent=time,
            created_at=int(self._clock()),
            body=b"%d" % cost,
            index={"time": time},
        )

    # --- what is not needed any more -----------------------------------------------------------

    async def tidy(self) -> None:
        """Forget the ids of events that are added up, and rows that are kept no longer."""
        now = self._clock()
        for (project, parent), at in list(self._emptied.items()):
            if at >= now - LATE_S:
                continue
            records = self._records.of(project)
            left = await records.page(EVENT.name, parent, limit=1)
            if not left.records:
                await records.commit([Clear(kind=EVENT.name, parent=parent)])
                del self._emptied[project, parent]
        settings = self._settings
        for kinds in (ROWS, LEVELS):
            await self._prune(kinds["1m"].name, now - settings.minutes_kept_hours * SECONDS["1h"])
            await self._prune(kinds["1h"].name, now - settings.hours_kept_days * SECONDS["1d"])

    async def _prune(self, kind: str, before: float) -> None:
        for _ in range(PRUNED_READS_MAX):
            oldest = await self._records.scan(kind, limit=PRUNED_PER_READ)
            shelves = dict.fromkeys((row.project, row.parent) for row in oldest)
            old = [each for each in shelves if int(each[1]) < before - SECONDS["1d"]]
            for project, shelf in old:
                await self._records.of(project).commit([Clear(kind=kind, parent=shelf)])
            if not old:
                return


def _portions(events: Sequence[Record]) -> Iterator[list[Record]]:
    """So many at once that one commit stays short."""
    portion: list[Record] = []
    size = 0
    for event in events:
        count = len(decode_cells(event.body))
        if portion and size + count > CELLS_PER_COMMIT:
            yield portion
            portion, size = [], 0
        portion.append(event)
        size += count
    if portion:
        yield portion


def _spent_of(cells: Sequence[Cell]) -> dict[tuple[str, str], int]:
    """What they cost, by time and id."""
    found: dict[tuple[str, str], int] = {}
    for cell in cells:
        if not cell.cost:
            continue
        for time in times_of(cell.at):
            for key in (None, cell.key) if cell.key else (None,):
                name = (time, spent_id(time, key))
                found[name] = found.get(name, 0) + cell.cost
    return found
