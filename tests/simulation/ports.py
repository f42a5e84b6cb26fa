"""The ports of one simulated server, with a fault possible before and after each effect."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Collection, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import TYPE_CHECKING, Any

from famulus.fanout import Fanout, FanoutSettings
from famulus.testing.memory_records import MemoryRecords
from famulus_schemas.assistants import FullAssistant
from famulus_schemas.inference import ChatChunk, ChatRequest, ModelCard, TokenCount
from famulus_schemas.ports import Emission, Listener
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
)

if TYPE_CHECKING:
    from tests.simulation.server import Server

LOOK_S = 1.0


class SimRecords:
    """One project's records, as one server reaches them."""

    def __init__(self, server: Server, inner: MemoryRecords) -> None:
        self.project = inner.project
        self._server = server
        self._inner = inner

    async def get(self, kind: str, id: str) -> Record | None:
        await self._server.reach_store()
        return await self._inner.get(kind, id)

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
        await self._server.reach_store()
        return await self._inner.page(
            kind, parent, where=where, order=order, after=after, before=before, limit=limit
        )

    async def commit(self, unit: Unit) -> None:
        server = self._server
        unit = server.world.mutant.unit(unit)
        await server.reach_store()
        if server.befalls(server.dice.refuse):
            server.note("refused", unit)
            raise StoreUnavailable("simulated: refused")
        await self._inner.commit(unit)
        server.note("committed", unit)
        server.world.watch.committed(self.project, unit)
        server.maybe_crash()
        if server.befalls(server.dice.unknown):
            server.note("unknown")
            raise OutcomeUnknown("simulated: unknown")
        await server.breathe()


class SimStore:
    """RECORDS and RECORDS.system of one server."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._store = server.world.store
        self.exclusive = server.world.profile.exclusive

    def of(self, project: str) -> SimRecords:
        return SimRecords(self._server, self._store.of(project))

    async def declare(self, *kinds: Kind) -> None:
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
        await self._server.reach_store()
        return await self._store.system.scan(
            kind,
            where=where,
            after_seq=after_seq,
            before_seq=before_seq,
            order=order,
            limit=limit,
        )

    async def now(self) -> float:
        await self._server.reach_store()
        return self._server.world.now()

    async def census(self, project: str) -> Census:
        return await self._store.system.census(project)

    async def wipe(self, project: str, *, keep: Collection[str] = (), limit: int = 1000) -> int:
        return await self._store.system.wipe(project, keep=keep, limit=limit)

    async def scrub(self) -> None:
        await self._store.system.scrub()


class SimEvents:
    """EVENTS of one server: certain within it, and by an uncertain road to the others."""

    def __init__(self, server: Server) -> None:
        self._server = server
        limit = server.world.profile.waiting_events_max
        self.here = Fanout(FanoutSettings(waiting_events_max=limit))

    def publish(self, project: str, topic: str, batch: Sequence[Emission]) -> None:
        if self._server.is_gone:
            return
        self.here.publish(project, topic, batch)
        self._send(Fanout.publish, project, topic, batch)
        self._server.maybe_crash()

    def close(self, project: str, topic: str) -> None:
        if self._server.is_gone:
            return
        self.here.close(project, topic)
        self._send(Fanout.close, project, topic)

    def drop(self, project: str, topic: str) -> None:
        self.here.drop(project, topic)

    @asynccontextmanager
    async def subscribe(
        self, project: str, topic: str, *, here: bool = False
    ) -> AsyncIterator[Listener]:
        async with self.here.subscribe(project, topic, here=here) as listener:
            looking = None if here else asyncio.create_task(self._look(project, topic))
            try:
                yield listener
            finally:
                if looking is not None:
                    looking.cancel()

    async def _look(self, project: str, topic: str) -> None:
        """Have the topic's listeners look whether they missed something, as the port promises."""
        await asyncio.sleep(LOOK_S)
        self.here.drop(project, topic)

    def _send(self, what: Any, *arguments: Any) -> None:
        world, dice = self._server.world, self._server.dice
        for other in world.servers:
            if other is self._server or other.is_gone or self._server.befalls(dice.lost):
                continue
            for _ in range(2 if self._server.befalls(dice.doubled) else 1):
                delay = world.profile.latency_s / 2
                if self._server.befalls(dice.late):
                    delay += world.rng.random() * 2.0
                world.loop.call_later(
                    delay, what, other.events.here, *arguments, context=other.context
                )


class SimInference:
    """INFERENCE of one server: the scripted model, over a line that may break."""

    def __init__(self, server: Server) -> None:
        self._server = server

    async def find(self, model: str) -> ModelCard:
        return ModelCard(id=model, backend="scripted", context_tokens=8192)

    async def count_tokens(self, model: str, texts: Sequence[str]) -> TokenCount:
        return TokenCount(counts=tuple(len(text.split()) for text in texts), exact=True)

    def chat(self, request: ChatRequest) -> AsyncIterator[Sequence[ChatChunk]]:
        return self._chat(request)

    async def _chat(self, request: ChatRequest) -> AsyncGenerator[Sequence[ChatChunk], None]:
        server = self._server
        server.chats += 1
        promise = "no more runs are at work than there is room for"
        room = server.world.profile.runs_at_once_max
        server.world.watch.hold(promise, server.chats <= room, (str(server), server.chats))
        try:
            async with aclosing(server.world.model.backend.chat(request)) as answer:
                async for chunks in answer:
                    await server.point()
                    yield chunks
        finally:
            server.chats -= 1


class SimAssistants:
    """ASSISTANTS: one assistant, with a function of each kind."""

    def __init__(self, assistant: FullAssistant) -> None:
        self._assistant = assistant

    async def get(self, project: str, assistant_id: str) -> FullAssistant:
        await asyncio.sleep(0)
        return self._assistant
