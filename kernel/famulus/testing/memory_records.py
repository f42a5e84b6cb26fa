"""A record store in memory: as strict as a real one, for tests that need thousands of them.

    store = MemoryStore()
    await store.of("project").commit([Insert(...)])
    await store.system.scan("note")

Nothing in it waits, so what a test wants to happen between two of its calls the test puts there.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Literal

from msgspec.structs import replace

from famulus.clock import Clock, system_clock
from famulus.kinds import Kinds
from famulus.units import Effect, Key, Parent, Row, judge, names_of
from famulus_schemas.records import SEQ_MAX, Census, Kind, Order, Page, Record, Unit, UnknownCursor


def _seq(record: Record) -> int:
    return record.seq


def _place(records: Sequence[Record], seq: int) -> int:
    """Where in a list of rising `seq` this one is, or would be."""
    return bisect_left(records, seq, key=_seq)


class MemoryRecords:
    """The records of one project."""

    def __init__(self, project: str, store: MemoryStore) -> None:
        self.project = project
        self._store = store

    async def get(self, kind: str, id: str) -> Record | None:
        """The record as last committed, or None."""
        return self._store.records.get((self.project, kind, id))

    async def page(
        self,
        kind: str,
        parent: str = "",
        *,
        where: Mapping[str, str] = {},
        order: Order = "desc",
        after: str | None = None,
        before: str | None = None,
        limit: int = 20,
    ) -> Page:
        """Part of one list; see `Records.page`."""
        store = self._store
        store.kinds.check_where(kind, where)
        begin = self._cursor(kind, parent, "after", after)
        end = self._cursor(kind, parent, "before", before)
        low, high = (begin, end) if order == "asc" else (end, begin)
        all_of = store.lists.get((self.project, kind, parent), [])
        first = 0 if low is None else _place(all_of, low + 1)
        last = len(all_of) if high is None else _place(all_of, high)
        records = all_of[first:last]
        if where:
            records = [record for record in records if store.has(record, where)]
        has_more = len(records) > limit
        # The page just before a place is the last one before it, in the order asked for.
        is_backward = begin is None and end is not None
        from_low = (order == "asc") is not is_backward
        records = records[:limit] if from_low else records[max(0, len(records) - limit) :]
        return Page(records=records if order == "asc" else records[::-1], has_more=has_more)

    async def commit(self, unit: Unit) -> None:
        """Write all of it, or raise Conflict and write nothing."""
        self._store.commit(self.project, unit)

    def _cursor(
        self, kind: str, parent: str, name: Literal["after", "before"], id: str | None
    ) -> int | None:
        if id is None:
            return None
        record = self._store.records.get((self.project, kind, id))
        if record is not None and record.parent == parent:
            return record.seq
        tombstone = self._store.tombstones.get((self.project, kind, parent, id))
        if tombstone is None:
            raise UnknownCursor(name, id)
        return tombstone


class MemoryStore:
    """A `RecordStore` that forgets everything with its process."""

    def __init__(self, *, clock: Clock = system_clock, exclusive: bool = False) -> None:
        self.kinds = Kinds()
        self.records: dict[Key, Record] = {}
        self.lists: dict[Parent, list[Record]] = {}
        """Each list in the order of `seq`."""
        self.tombstones: dict[tuple[str, str, str, str], int] = {}
        self.system = MemorySystem(self, clock=clock, exclusive=exclusive)
        self._index: dict[Key, Mapping[str, str]] = {}
        self._declared: dict[str, Kind] = {}
        self._last_seq = 0

    def of(self, project: str) -> MemoryRecords:
        """The records of that project."""
        return MemoryRecords(project, self)

    async def declare(self, *kinds: Kind) -> None:
        """Make kinds known, and back-fill names that they did not have before."""
        for kind in kinds:
            self.kinds.check(kind)
            before = self._declared.get(kind.name)
            new = set(kind.indexes) - set(before.indexes if before is not None else ())
            if new and kind.index_of is not None:
                for key, record in self.records.items():
                    if record.kind == kind.name:
                        filled = kind.index_of(record).items()
                        added = {name: value for name, value in filled if name in new}
                        self._index[key] = {**self._index[key], **added}
            self._declared[kind.name] = kind
            self.kinds.add(kind)

    def commit(self, project: str, unit: Unit) -> None:
        """Write a unit at once, or raise Conflict and write nothing."""
        self.kinds.check_unit(unit)
        batch = [(project, unit)]
        names = names_of(batch)
        read = [self.records[key] for key in names.keys if key in self.records]
        for parent, seq in names.beyond:
            read += [record for record in self.lists.get(parent, []) if record.seq > seq]
        stored = {
            (record.project, record.kind, record.id): Row(
                parent=record.parent,
                seq=record.seq,
                version=record.version,
                fence=record.fence,
            )
            for record in read
        }
        judged = judge(batch, stored, self._next_seq)
        if (refusal := judged.refusals[0]) is not None:
            raise refusal
        self._write(judged.effect)

    def has(self, record: Record, where: Mapping[str, str]) -> bool:
        """Whether a record has these index values."""
        index = self._index[record.project, record.kind, record.id]
        return all(index.get(name) == value for name, value in where.items())

    def _next_seq(self) -> int:
        self._last_seq += 1
        return self._last_seq

    def _write(self, effect: Effect) -> None:
        for parent in effect.clears:
            self._clear(parent)
        for key, row in effect.deletes:
            self._remove(key, row)
        self.tombstones.update(effect.tombstones)
        for key, row in effect.inserts:
            self._insert(key, row)
        for key, row in effect.replaces:
            self._replace(key, row)

    def _clear(self, parent: Parent) -> None:
        for record in self.lists.pop(parent, []):
            key = (record.project, record.kind, record.id)
            del self.records[key], self._index[key]
        for stone in [stone for stone in self.tombstones if stone[:3] == parent]:
            del self.tombstones[stone]

    def _remove(self, key: Key, row: Row) -> None:
        records = self.lists[key[0], key[1], row.parent]
        del records[_place(records, row.seq)], self.records[key], self._index[key]

    def _insert(self, key: Key, row: Row) -> None:
        project, kind, id = key
        record = Record(
            project=project,
            kind=kind,
            id=id,
            parent=row.parent,
            seq=row.seq,
            version=row.version,
            fence=row.fence,
            created_at=row.created_at,
            body=row.body or b"",
            extra=row.extra or b"",
            shape=row.shape or 1,
        )
        self.records[key] = record
        self._index[key] = row.index or {}
        records = self.lists.setdefault((project, kind, row.parent), [])
        records.insert(_place(records, row.seq), record)

    def _replace(self, key: Key, row: Row) -> None:
        old = self.records[key]
        new = replace(
            old,
            version=row.version,
            fence=row.fence,
            body=old.body if row.body is None else row.body,
            extra=old.extra if row.extra is None else row.extra,
            shape=old.shape if row.shape is None else row.shape,
        )
        self.records[key] = new
        if row.index is not None:
            self._index[key] = row.index
        records = self.lists[key[0], key[1], row.parent]
        records[_place(records, row.seq)] = new

    def wipe(self, project: str, *, keep: Collection[str], limit: int) -> int:
        """As `SystemRecords.wipe`."""
        stones = [
            stone for stone in self.tombstones if stone[0] == project and stone[1] not in keep
        ]
        for stone in stones:
            del self.tombstones[stone]
        keys = [key for key in self.records if key[0] == project and key[1] not in keep][:limit]
        for key in keys:
            record = self.records.pop(key)
            del self._index[key]
            self.lists[project, record.kind, record.parent].remove(record)
        return len(keys) + len(stones)


class MemorySystem:
    """The cross-project view of a store in memory."""

    def __init__(self, store: MemoryStore, *, clock: Clock, exclusive: bool) -> None:
        self.exclusive = exclusive
        self._store = store
        self._clock = clock

    def of(self, project: str) -> MemoryRecords:
        """The records of that project."""
        return self._store.of(project)

    async def declare(self, *kinds: Kind) -> None:
        """As MemoryStore.declare."""
        await self._store.declare(*kinds)

    async def scan(
        self,
        kind: str,
        *,
        where: Mapping[str, str] = {},
        after_seq: int = 0,
        before_seq: int = SEQ_MAX,
        order: Order = "asc",
        limit: int = 100,
    ) -> Sequence[Record]:
        """Records of a kind in every project by `seq`, between the two and without them."""
        self._store.kinds.check_where(kind, where)
        found = [
            record
            for record in self._store.records.values()
            if record.kind == kind
            and after_seq < record.seq < before_seq
            and self._store.has(record, where)
        ]
        return sorted(found, key=_seq, reverse=order == "desc")[:limit]

    async def now(self) -> float:
        """The clock that the store was made with."""
        return self._clock()

    async def census(self, project: str) -> Census:
        """What there is of a project."""
        store = self._store
        mine = [record for record in store.records.values() if record.project == project]
        return Census(
            records=Counter(record.kind for record in mine),
            traces=Counter(stone[1] for stone in store.tombstones if stone[0] == project),
            bytes=sum(len(record.body) + len(record.extra) for record in mine),
        )

    async def wipe(self, project: str, *, keep: Collection[str] = (), limit: int = 1000) -> int:
        """Remove some of a project for good."""
        return self._store.wipe(project, keep=keep, limit=limit)

    async def scrub(self) -> None:
        """Nothing: memory keeps nothing of what was removed."""
