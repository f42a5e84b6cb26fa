"""What one unit comes to for a store and its batches: counts, bytes, and what can be found.

Counts are kept where they are read: in the store's own record, and in that of the batch. A unit
that moves files brings both up to date, against the versions that were read; `Shelf` asks for it
again where another was faster, and has the writers of one process wait for each other.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

from msgspec import UNSET
from msgspec.structs import replace

from famulus.resources import missing
from famulus_schemas.errors import TOO_BUSY, Problem
from famulus_schemas.records import Conflict, Record, Records, RecordStore, Replace, Unit
from famulus_schemas.vector_stores import (
    FileBatch,
    FileCounts,
    VectorStore,
    VectorStoreFileStatus,
    VectorStoreStatus,
)
from famulus_vector_stores.faults import EXPIRED
from famulus_vector_stores.kinds import (
    decode_batch,
    decode_store,
    decode_store_extra,
    encode,
    encode_extra,
    store_index,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

CHANGE_ATTEMPTS_MAX = 64
"""Of many changes of one store at once, one process comes in each time: so many can meet."""
DAY_S = 86_400

Status = VectorStoreFileStatus | None


def is_over(store: VectorStore, now: int) -> bool:
    """Whether a store has expired."""
    if store.status == "expired":
        return True
    return store.expires_at is not None and store.expires_at <= now


def expiry_of(store: VectorStore) -> int | None:
    """When a store will expire that was last used when it says."""
    if store.expires_after is UNSET or store.last_active_at is None:
        return None
    return store.last_active_at + store.expires_after.days * DAY_S


def counted(counts: FileCounts, before: Status, after: Status) -> FileCounts:
    """The counts once a file went from one state to another; None is not to be there."""
    changed = {}
    if before is not None:
        changed[before] = getattr(counts, before) - 1
    if after is not None:
        changed[after] = changed.get(after, getattr(counts, after)) + 1
    total = counts.total + (after is not None) - (before is not None)
    return replace(counts, total=total, **changed)


class Ledger:
    """Collects what a unit does to one store, and makes the writes that say so."""

    def __init__(self, record: Record, *, now: int) -> None:
        self.record = record
        self.now = now
        self.store = decode_store(record.body)
        self.extra = decode_store_extra(record.extra)
        self.written = self.store
        """The store as `writes` leaves it."""
        self.moves: dict[str, list[tuple[Status, Status]]] = {}
        """Of the files of each batch."""
        self._is_new_generation = False

    @property
    def is_over(self) -> bool:
        """Whether the store has expired."""
        return is_over(self.store, self.now)

    def hold_alive(self) -> None:
        """Raise Problem where the store has expired."""
        if self.is_over:
            raise Problem(EXPIRED, id=self.store.id)

    def moved(self, before: Status, after: Status, *, batch: str = "", size: int = 0) -> None:
        """A file goes from one state to another, by so many bytes more; None is not there."""
        counts = counted(self.store.file_counts, before, after)
        self.store = replace(
            self.store, file_counts=counts, usage_bytes=self.store.usage_bytes + size
        )
        if batch:
            self.moves.setdefault(batch, []).append((before, after))
        if "completed" in (before, after):
            self.found_otherwise()

    def adopted(self, batch: str) -> None:
        """A file that was read already is in this batch from now on."""
        self.moves.setdefault(batch, []).append((None, "completed"))

    def found_otherwise(self) -> None:
        """What can be found is another from now on."""
        self._is_new_generation = True

    def measured(self, dimensions: int) -> None:
        """The vectors of the store have so many numbers."""
        self.extra = replace(self.extra, dimensions=dimensions)

    def used(self) -> None:
        """The store is used now."""
        if not self.is_over:
            self.store = replace(self.store, last_active_at=self.now)

    async def writes(self, records: Records) -> Unit:
        """The writes that bring the store and the batches up to date."""
        store, extra = self.store, self.extra
        if self._is_new_generation:
            extra = replace(extra, generation=extra.generation + 1)
        if not self.is_over:
            # What has expired stays so, whatever is changed about it.
            is_busy = store.file_counts.in_progress > 0
            status: VectorStoreStatus = "in_progress" if is_busy else "completed"
            store = replace(store, status=status, expires_at=expiry_of(store))
        self.written = store
        write = Replace(
            kind="vector_store",
            id=store.id,
            version=self.record.version,
            body=encode(store),
            extra=encode_extra(extra),
            index=store_index(store),
        )
        return [write, *[each for id in self.moves for each in await self._batch(records, id)]]

    async def _batch(self, records: Records, id: str) -> Unit:
        record = await records.get("vector_store_batch", id)
        if record is None:
            return []
        batch = with_moves(decode_batch(record.body), self.moves[id])
        return [
            Replace(kind="vector_store_batch", id=id, version=record.version, body=encode(batch))
        ]


def with_moves(batch: FileBatch, moves: list[tuple[Status, Status]]) -> FileBatch:
    """A batch whose files moved so. One that left its store unread counts as cancelled."""
    counts = batch.file_counts
    for before, after in moves:
        if before is not None and before != "in_progress":
            # What was done once was done, whatever becomes of the file.
            continue
        counts = counted(counts, before, "cancelled" if after is None else after)
    status = batch.status
    if status == "in_progress" and counts.in_progress == 0:
        status = "completed"
    return replace(batch, file_counts=counts, status=status)


Plan = Callable[[Ledger], Awaitable[Unit | None]]
"""Looks at a store as it is and says what to write with its new counts; None is nothing at all."""
Join = Callable[[Unit], Awaitable[Unit]]
IsFinal = Callable[[Conflict], bool]


async def alone(unit: Unit) -> Unit:
    """The unit itself."""
    return unit


def never(conflict: Conflict) -> bool:
    """No conflict is final."""
    return False


class Shelf:
    """Changes stores, one writer of a process after the other."""

    def __init__(self, records: RecordStore, now: Callable[[], int]) -> None:
        self._records = records
        self._now = now
        self._locks: WeakValueDictionary[tuple[str, str], asyncio.Lock] = WeakValueDictionary()

    async def change(
        self,
        project: str,
        store_id: str,
        plan: Plan,
        *,
        join: Join = alone,
        is_final: IsFinal = never,
    ) -> Ledger | None:
        """Commit what the plan wants, again while others were faster; None where it wants nothing.

        Raises Problem: 404 where there is no such store, 503 after too many lost races; and the
        Conflict that is final.
        """
        records = self._records.of(project)
        async with self._alone_at(project, store_id):
            for _ in range(CHANGE_ATTEMPTS_MAX):
                record = await records.get("vector_store", store_id)
                if record is None:
                    raise missing("vector store", store_id)
                ledger = Ledger(record, now=self._now())
                unit = await plan(ledger)
                if unit is None:
                    return None
                joined = await join([*unit, *await ledger.writes(records)])
                try:
                    await records.commit(joined)
                except Conflict as conflict:
                    if is_final(conflict):
                        raise
                    continue
                return ledger
        reason = f"vector store {store_id} is being changed by many at once. Try again."
        raise Problem(TOO_BUSY, reason=reason)

    @asynccontextmanager
    async def _alone_at(self, project: str, store_id: str) -> AsyncIterator[None]:
        lock = self._locks.setdefault((project, store_id), asyncio.Lock())
        async with lock:
            yield
