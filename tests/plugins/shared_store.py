"""A store that several servers of one test share, and that fails when the test says so."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from famulus import NoSettings, Plugin
from famulus.testing.memory_records import MemoryRecords, MemoryStore
from famulus_schemas.ports import RECORDS
from famulus_schemas.records import (
    SEQ_MAX,
    Census,
    Kind,
    Order,
    OutcomeUnknown,
    Page,
    Record,
    StoreUnavailable,
    Unit,
    Write,
)

Suits = Callable[[Write], bool]


def never(write: Write) -> bool:
    """No write."""
    return False


def of(kind: str, *parts: bytes) -> Suits:
    """Writes of a kind whose body has all of this in it."""

    def suits(write: Write) -> bool:
        body = getattr(write, "body", None) or b""
        return write.kind == kind and all(part in body for part in parts)

    return suits


class SharedStore:
    """A store in memory, with faults to be switched on for the next fitting commit."""

    def __init__(self, *, exclusive: bool = False) -> None:
        self.memory = MemoryStore(exclusive=exclusive)
        self.is_down = False
        """Whether nothing can be read or written."""
        self.refuses: Suits = never
        """The next unit with such a write is not written, and the answer says so."""
        self.loses_answer: Suits = never
        """The next unit with such a write is written, and the answer is lost."""
        self.delays_answer: Suits = never
        """The next unit with such a write is written, and answered once `answers` is set."""
        self.is_delayed = asyncio.Event()
        self.answers = asyncio.Event()

    def records(self, kind: str) -> list[Record]:
        """Every record of a kind."""
        return [record for record in self.memory.records.values() if record.kind == kind]

    def plugin(self) -> type[Plugin[Any]]:
        """Provides RECORDS from this store."""
        shared = self

        class Shared(Plugin[NoSettings]):
            """Records that other servers of the test have, too."""

            name = "shared"
            provides = (RECORDS, RECORDS.system)

            @asynccontextmanager
            async def lifespan(self) -> AsyncIterator[None]:
                """Provide both views."""
                self.provide(RECORDS, _Store(shared))
                self.provide(RECORDS.system, _Store(shared))
                yield

        return Shared

    def check(self) -> None:
        """Raise StoreUnavailable while the store is down."""
        if self.is_down:
            raise StoreUnavailable("down, says the test")


class _Records:
    def __init__(self, shared: SharedStore, inner: MemoryRecords) -> None:
        self.project = inner.project
        self._shared = shared
        self._inner = inner

    async def get(self, kind: str, id: str) -> Record | None:
        self._shared.check()
        return await self._inner.get(kind, id)

    async def page(self, kind: str, parent: str = "", **how: Any) -> Page:
        self._shared.check()
        return await self._inner.page(kind, parent, **how)

    async def commit(self, unit: Unit) -> None:
        shared = self._shared
        shared.check()
        if any(map(shared.refuses, unit)):
            shared.refuses = never
            raise StoreUnavailable("refused, says the test")
        await self._inner.commit(unit)
        if any(map(shared.delays_answer, unit)):
            shared.delays_answer = never
            shared.is_delayed.set()
            await shared.answers.wait()
        if any(map(shared.loses_answer, unit)):
            shared.loses_answer = never
            raise OutcomeUnknown("lost, says the test")


class _Store:
    def __init__(self, shared: SharedStore) -> None:
        self._shared = shared
        self.exclusive = shared.memory.system.exclusive

    def of(self, project: str) -> _Records:
        return _Records(self._shared, self._shared.memory.of(project))

    async def declare(self, *kinds: Kind) -> None:
        await self._shared.memory.declare(*kinds)

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
        self._shared.check()
        return await self._shared.memory.system.scan(
            kind,
            where=where,
            after_seq=after_seq,
            before_seq=before_seq,
            order=order,
            limit=limit,
        )

    async def now(self) -> float:
        self._shared.check()
        return await self._shared.memory.system.now()

    async def census(self, project: str) -> Census:
        return await self._shared.memory.system.census(project)

    async def wipe(self, project: str, *, keep: Collection[str] = (), limit: int = 1000) -> int:
        return await self._shared.memory.system.wipe(project, keep=keep, limit=limit)

    async def scrub(self) -> None:
        await self._shared.memory.system.scrub()
