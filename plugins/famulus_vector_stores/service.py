"""STORES: vector stores for the plugins that make, fill or search them for others."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from msgspec import UNSET

from famulus.resources import missing
from famulus_schemas.errors import Problem
from famulus_schemas.identity import Principal
from famulus_schemas.records import Unit
from famulus_schemas.retrieval import Passage, Predicate, Ranking
from famulus_schemas.tools import CreateAttachedVectorStore
from famulus_schemas.vector_stores import StoreExpiry
from famulus_vector_stores.attaching import hold_chunking, hold_count, wanted_ids
from famulus_vector_stores.kinds import decode_store
from famulus_vector_stores.ledger import Ledger, is_over

if TYPE_CHECKING:
    from famulus_vector_stores.plugin import VectorStoresPlugin

LOOK_S = 0.02
LOOK_S_MAX = 0.5


class StoreService:
    """What `need(STORES)` gives."""

    def __init__(self, plugin: VectorStoresPlugin) -> None:
        self._plugin = plugin

    async def require(self, project: str, named: Mapping[str, str]) -> None:
        """As Stores.require."""
        records = self._plugin.records.of(project)
        for param, id in named.items():
            if await records.get("vector_store", id) is None:
                problem = missing("vector store", id)
                raise Problem(problem.fault, param=param, thing="vector store", id=id)

    async def create(
        self,
        project: str,
        request: CreateAttachedVectorStore,
        *,
        named: str = "",
        days: int | None = None,
        by: Principal | None = None,
    ) -> tuple[str, Unit]:
        """As Stores.create."""
        within = f"{named}." if named else ""
        limit = self._plugin.settings.files_per_batch_max
        hold_count(request.file_ids, limit, name=f"{within}file_ids")
        hold_chunking(request.chunking_strategy, within=within)
        files = wanted_ids(request.file_ids, request.chunking_strategy, named=f"{within}file_ids")
        made = await self._plugin.maker.store(
            project,
            files,
            expires_after=UNSET
            if days is None
            else StoreExpiry(anchor="last_active_at", days=days),
            metadata=request.metadata,
            by=by,
        )
        self._plugin.nudges.expect(project, made.tickets)
        return made.store.id, made.unit

    async def attach(
        self,
        project: str,
        store_id: str,
        file_ids: Sequence[str],
        *,
        named: Sequence[str],
        by: Principal | None = None,
    ) -> Unit:
        """As Stores.attach."""
        plugin = self._plugin
        files = wanted_ids(file_ids, params=named)
        await plugin.attaching.require(project, files)
        records = plugin.records.of(project)
        record = await records.get("vector_store", store_id)
        if record is None:
            raise missing("vector store", store_id)
        ledger = Ledger(record, now=plugin.now())
        if ledger.is_over:
            raise missing("vector store", store_id)
        unit, tickets = await plugin.attaching.add(project, ledger, files, keeps=True, by=by)
        ledger.used()
        plugin.nudges.expect(project, tickets)
        return [*unit, *await ledger.writes(records)]

    async def ready(self, project: str, store_ids: Sequence[str], *, within_s: float) -> int:
        """As Stores.ready."""
        loop = asyncio.get_running_loop()
        until, pause_s = loop.time() + within_s, LOOK_S
        while True:
            count = 0
            for id in dict.fromkeys(store_ids):
                count += await self._unread(project, id)
            left_s = until - loop.time()
            if not count or left_s <= 0:
                return count
            await asyncio.sleep(min(pause_s, left_s))
            pause_s = min(2 * pause_s, LOOK_S_MAX)

    async def _unread(self, project: str, store_id: str) -> int:
        record = await self._plugin.records.of(project).get("vector_store", store_id)
        if record is None:
            return 0
        store = decode_store(record.body)
        return 0 if is_over(store, self._plugin.now()) else store.file_counts.in_progress

    async def search(
        self,
        project: str,
        store_ids: Sequence[str],
        queries: Sequence[str],
        *,
        limit: int,
        ranking: Ranking,
        where: Predicate | None = None,
        by: Principal | None = None,
    ) -> Sequence[Passage]:
        """As Stores.search."""
        plugin = self._plugin
        stores = await plugin.search.alive(project, store_ids)
        found = await plugin.search.passages(
            project, stores, queries, limit=limit, ranking=ranking, where=where
        )
        plugin.account.searched(project, {store.model for store in stores}, queries, by)
        for store in stores:
            await plugin.uses.note(project, store.id)
        return found
