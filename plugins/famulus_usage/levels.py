"""How much projects have: measured now and then, and kept by minute, hour and day.

What is measured is what there is, and not what came and went: an answer that was missed, or a
process that died, makes the next one no less true.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager

import msgspec

from famulus_schemas.records import Conflict, Insert, Record, Replace, SystemRecords, Write
from famulus_schemas.usage import Held, Measure
from famulus_usage.buckets import Names, Window
from famulus_usage.kinds import LEVEL, LEVELS, Level, decode_level
from famulus_usage.reading import Reading
from famulus_usage.times import DAY_S, SECONDS, Width, floor

LEVELS_PER_READ = 500
DAYS_BACK_MAX = 31
"""For which nothing needs to have been measured until what was before is taken for gone."""
_SHELF: dict[Width, Width] = {"1m": "1h", "1h": "1d", "1d": "1d"}
"""What the rows of a minute, an hour or a day lie under: as much as is read to know what was."""
_encode = msgspec.json.Encoder().encode


class Levels:
    """Asks whoever has it, and answers what each project had in a time."""

    def __init__(
        self, records: SystemRecords, reading: Reading, clock: Callable[[], float]
    ) -> None:
        self._records = records
        self._reading = reading
        self._clock = clock
        self._measures: dict[Held, Measure] = {}

    def __bool__(self) -> bool:
        return bool(self._measures)

    @contextmanager
    def of(self, what: Held, measure: Measure) -> Iterator[None]:
        """As Meter.measures."""
        self._measures[what] = measure
        try:
            yield
        finally:
            del self._measures[what]

    async def measure(self) -> None:
        """Ask everybody, and write down what has changed."""
        for what, measure in list(self._measures.items()):
            # Read before it is measured: who has written since has measured since.
            known = await self._known(what)
            now = self._clock()
            held = await measure()
            for project in sorted(known.keys() | held.keys()):
                level = Level(at=int(now), what=what, bytes=held.get(project, 0))
                record = known.get(project)
                if _tells(record, level):
                    continue
                try:
                    await self._write(project, level, record)
                except Conflict:
                    continue

    async def _known(self, what: Held) -> dict[str, Record]:
        found: dict[str, Record] = {}
        after = 0
        while some := await self._records.scan(LEVEL.name, after_seq=after, limit=LEVELS_PER_READ):
            found |= {record.project: record for record in some if record.id == what}
            after = some[-1].seq
        return found

    async def _write(self, project: str, level: Level, known: Record | None) -> None:
        records = self._records.of(project)
        unit: list[Write] = [_put(LEVEL.name, level.what, level, known)]
        ids = {width: f"{level.what}.{floor(level.at, width)}" for width in LEVELS}
        rows = await asyncio.gather(*(records.get(LEVELS[width].name, ids[width]) for width in ids))
        for (width, id), row in zip(ids.items(), rows, strict=True):
            at = floor(level.at, width)
            of_row = msgspec.structs.replace(level, at=at)
            unit.append(_put(LEVELS[width].name, id, of_row, row, f"{_shelf(at, width)}"))
        await records.commit(unit)

    # --- what is asked ------------------------------------------------------------------------

    async def sums(
        self,
        what: Held,
        window: Window,
        name: Callable[[str], str | None],
        projects: Collection[str] = (),
    ) -> dict[tuple[int, Names], int]:
        """What was had at the end of each bucket, or is now, added up by what projects are named.

        Of `projects` alone, if any are given; what nobody had is left out.
        """
        width, step = window.width, SECONDS[window.width]
        end = min(window.end, floor(self._clock(), width) + step)
        levels = await self._before(what, width, window.start)
        changes = await self._rows(what, width, window.start, end)
        sums: dict[tuple[int, Names], int] = {}
        for at in range(window.start, end, step):
            levels |= changes.get(at, {})
            for project, held in levels.items():
                if held and (not projects or project in projects):
                    names: Names = (name(project),)
                    sums[at, names] = sums.get((at, names), 0) + held
        return sums

    async def _before(self, what: Held, width: Width, start: int) -> dict[str, int]:
        """What each project had when this time began: by the last that is known before it."""
        levels = await self._day_before(what, floor(start, "1d"))
        parts: list[tuple[Width, int, int]] = []
        if width != "1d":
            parts.append(("1h", floor(start, "1d"), floor(start, "1h")))
        if width == "1m":
            parts.append(("1m", floor(start, "1h"), start))
        for finer, begin, end in parts:
            for _, some in sorted((await self._rows(what, finer, begin, end)).items()):
                levels |= some
        return levels

    async def _day_before(self, what: Held, day: int) -> dict[str, int]:
        """That of the last day on which it was measured: then all was that there is."""
        for back in range(1, DAYS_BACK_MAX + 1):
            at = day - back * DAY_S
            if found := await self._rows(what, "1d", at, at + DAY_S):
                return found[at]
        return {}

    async def _rows(
        self, what: Held, width: Width, start: int, end: int
    ) -> Mapping[int, dict[str, int]]:
        found: dict[int, dict[str, int]] = {}
        if end > start:
            shelves = range(_shelf(start, width), end, SECONDS[_SHELF[width]])
            for record in await self._reading.records(LEVELS[width].name, shelves):
                level = decode_level(record.body)
                if level.what == what and start <= level.at < end:
                    found.setdefault(level.at, {})[record.project] = level.bytes
        return found


def _shelf(at: int, width: Width) -> int:
    return floor(at, _SHELF[width])


def _tells(record: Record | None, level: Level) -> bool:
    """Whether what is known says the same, and for today."""
    if record is None:
        return not level.bytes
    known = decode_level(record.body)
    is_todays = floor(known.at, "1d") == floor(level.at, "1d")
    return known.bytes == level.bytes and (is_todays or not level.bytes)


def _put(kind: str, id: str, level: Level, known: Record | None, shelf: str = "") -> Write:
    body = _encode(level)
    if known is not None:
        return Replace(kind=kind, id=id, version=known.version, body=body)
    index = {"shelf": shelf} if shelf else {}
    return Insert(kind=kind, id=id, parent=shelf, created_at=level.at, body=body, index=index)
