"""Which process sweeps, how far it has come, and when the last sweep ended: one record of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import msgspec

from famulus_schemas.identity import SYSTEM_PROJECT
from famulus_schemas.records import Conflict, Insert, Kind, Record, Replace, SystemRecords

KIND = Kind(name="retention_sweep")
_ID = "sweep"


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """Where a sweep is; kept, so that another process can go on there."""

    holder: str = ""
    """Who sweeps now; empty where nobody does."""
    until: float = 0.0
    """The store's time after which the holder is taken for dead."""
    kind: str = ""
    """The kind of data that is being looked at; empty where a sweep is over."""
    after_seq: int = 0
    ended_at: float = 0.0
    """The store's time when a sweep was last over."""


class LeaseLost(Exception):
    """Another process has taken the sweep over."""


class Lease:
    """One process's hold of the sweep."""

    def __init__(self, records: SystemRecords, *, holder: str, lease_s: float) -> None:
        self._all = records
        self._records = records.of(SYSTEM_PROJECT)
        self._holder = holder
        self._lease_s = lease_s

    async def place(self) -> Place:
        """Where the sweep is, whoever makes it."""
        record = await self._records.get(KIND.name, _ID)
        return Place() if record is None else _decode(record.body)

    async def take(self, *, due_s: float) -> Place | None:
        """Take the sweep and where it is; None where another has it, or it is not due yet."""
        now = await self._all.now()
        record = await self._records.get(KIND.name, _ID)
        place = Place() if record is None else _decode(record.body)
        others = place.holder not in ("", self._holder) and not self._all.exclusive
        if others and place.until > now:
            return None
        if not place.kind and place.ended_at + due_s > now:
            return None
        taken = msgspec.structs.replace(place, holder=self._holder, until=now + self._lease_s)
        return taken if await self._write(record, taken) else None

    async def note(self, *, kind: str, after_seq: int) -> None:
        """Say how far it has come, and hold on to it. Raises LeaseLost."""
        await self._change(
            lambda place: msgspec.structs.replace(place, kind=kind, after_seq=after_seq)
        )

    async def end(self) -> None:
        """Say that the sweep is over. Raises LeaseLost."""
        now = await self._all.now()
        await self._change(lambda place: Place(ended_at=now))

    async def let_go(self) -> None:
        """Let another go on at once."""
        try:
            await self._change(lambda place: msgspec.structs.replace(place, holder="", until=0.0))
        except LeaseLost:
            return

    async def _change(self, change: Callable[[Place], Place]) -> None:
        record = await self._records.get(KIND.name, _ID)
        if record is None or (place := _decode(record.body)).holder != self._holder:
            raise LeaseLost
        changed = change(place)
        if changed.holder:
            until = await self._all.now() + self._lease_s
            changed = msgspec.structs.replace(changed, until=until)
        if not await self._write(record, changed):
            raise LeaseLost

    async def _write(self, record: Record | None, place: Place) -> bool:
        body = msgspec.json.encode(place)
        write = (
            Insert(kind=KIND.name, id=_ID, created_at=int(await self._all.now()), body=body)
            if record is None
            else Replace(kind=KIND.name, id=_ID, version=record.version, body=body)
        )
        try:
            await self._records.commit([write])
        except Conflict:
            return False
        return True


_decode = msgspec.json.Decoder(Place).decode

Note = Callable[[str, int], Awaitable[None]]
"""Told the kind of data and the place after each batch."""
