"""The plugin: the operations of vector stores, the jobs that fill them, and STORES for others."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext
from functools import partial

from famulus import Call, Operation, Plugin, found, hookimpl, need, operations, want
from famulus_schemas.identity import Principal
from famulus_schemas.jobs import Ticket
from famulus_schemas.ports import (
    EMBEDDER,
    EXTRACTION,
    FILES,
    JOBS,
    METER,
    RECORDS,
    STORES,
    VECTORS,
)
from famulus_schemas.records import Delete, Record, Unit, Write
from famulus_schemas.retention import Data
from famulus_vector_stores.attaching import JOB, Attaching
from famulus_vector_stores.batch_operations import BatchOperations
from famulus_vector_stores.chunks import Chunks
from famulus_vector_stores.data import StoreData
from famulus_vector_stores.detaching import CLEAR_DOCUMENT, CLEAR_STORE, Detaching
from famulus_vector_stores.file_operations import StoreFileOperations
from famulus_vector_stores.filters import Filters
from famulus_vector_stores.holding import held
from famulus_vector_stores.ingestion import Ingestion
from famulus_vector_stores.kinds import KINDS
from famulus_vector_stores.ledger import Shelf
from famulus_vector_stores.making import Maker
from famulus_vector_stores.metering import Account
from famulus_vector_stores.nudges import Nudges
from famulus_vector_stores.rates import AttachRate
from famulus_vector_stores.search import Search
from famulus_vector_stores.service import StoreService
from famulus_vector_stores.settings import VectorStoresSettings
from famulus_vector_stores.source import StoreSource
from famulus_vector_stores.store_operations import StoreOperations
from famulus_vector_stores.sweep import Sweeper
from famulus_vector_stores.uses import Uses


class VectorStoresPlugin(Plugin[VectorStoresSettings]):
    """Serves vector stores, reads files into them, and provides STORES."""

    name = "vector_stores"
    provides = (STORES,)
    records = need(RECORDS)
    every_project = need(RECORDS.system)
    jobs = need(JOBS)
    files = need(FILES)
    extraction = need(EXTRACTION)
    embedder = need(EMBEDDER)
    vectors = need(VECTORS)
    meter = want(METER)

    chunks: Chunks
    shelf: Shelf
    detaching: Detaching
    attaching: Attaching
    maker: Maker
    search: Search
    uses: Uses
    rate: AttachRate
    filters: Filters
    nudges: Nudges
    service: StoreService
    account: Account
    sweeper: Sweeper
    data: StoreData

    @asynccontextmanager
    async def lifespan(self) -> AsyncIterator[None]:
        """Provide the port, read files and clear up until stopped."""
        await self.records.declare(*KINDS)
        self._build()
        self.vectors.use(StoreSource(self.records, self.chunks))
        settings = self.settings
        if self.host.serves:
            self.jobs.handle(JOB, self._ingestion().do, at_once_max=settings.ingestions_at_once_max)
        clearing = {
            CLEAR_DOCUMENT: self.detaching.clear_document,
            CLEAR_STORE: self.detaching.clear_store,
        }
        for kind, clear in clearing.items():
            self.jobs.handle(kind, clear, at_once_max=settings.clearings_at_once_max)
        self.provide(STORES, self.service)
        sweeping = [asyncio.create_task(self.sweeper.run())] if self.host.serves else []
        try:
            with self._measured():
                yield
        finally:
            for each in sweeping:
                each.cancel()
            await asyncio.gather(*sweeping, return_exceptions=True)
            await self.nudges.stop()
            for kind in (JOB, *clearing):
                await self.jobs.withdraw(kind, grace_s=settings.finish_s)

    def _measured(self) -> AbstractContextManager[None]:
        """Have it be told how much all stores hold, where somebody keeps account of that."""
        if self.meter is None:
            return nullcontext()
        return self.meter.measures("vector_stores", partial(held, self.every_project))

    def _build(self) -> None:
        settings, records, jobs = self.settings, self.records, self.jobs
        self.account = Account(self.meter, self.now)
        self.chunks = Chunks(records)
        self.shelf = Shelf(records, self.now)
        self.detaching = Detaching(
            records=records, jobs=jobs, chunks=self.chunks, vectors=self.vectors
        )
        self.attaching = Attaching(
            settings,
            records=records,
            jobs=jobs,
            files=self.files,
            detaching=self.detaching,
            make_id=self.host.make_id,
            now=self.now,
        )
        self.maker = Maker(
            attaching=self.attaching,
            embedder=self.embedder,
            make_id=self.host.make_id,
            now=self.now,
        )
        self.search = Search(
            records=records,
            chunks=self.chunks,
            embedder=self.embedder,
            vectors=self.vectors,
            now=self.now,
        )
        self.uses = Uses(self.shelf, every_s=settings.use_noted_s)
        self.rate = AttachRate(settings.attaches_per_minute_max, self.host.clock)
        self.filters = Filters(
            depth_max=settings.filter_depth_max, terms_max=settings.filter_terms_max
        )
        self.nudges = Nudges(records, jobs, self.vectors)
        self.service = StoreService(self)
        self.data = StoreData(self)
        self.sweeper = Sweeper(
            every_project=self.every_project,
            shelf=self.shelf,
            jobs=jobs,
            now=self.now,
            pause_s=settings.sweep_s,
            log=self.log,
        )

    def _ingestion(self) -> Ingestion:
        return Ingestion(
            self.settings,
            records=self.records,
            jobs=self.jobs,
            files=self.files,
            extraction=self.extraction,
            embedder=self.embedder,
            vectors=self.vectors,
            chunks=self.chunks,
            shelf=self.shelf,
            detaching=self.detaching,
            account=self.account,
            now=self.now,
            tell=self.tell,
            log=self.log,
        )

    @hookimpl
    def register_operations(self) -> list[Operation]:
        """Vector stores, their files and file batches."""
        return [
            *operations(StoreOperations(self)),
            *operations(StoreFileOperations(self)),
            *operations(BatchOperations(self)),
        ]

    @hookimpl
    def register_data_kinds(self) -> list[Data]:
        """Vector stores and their files."""
        return list(self.data.kinds())

    @hookimpl
    async def join_unit(self, principal: Principal, action: str, unit: Unit) -> list[Write]:
        """A file that is deleted leaves every store, in the same commit."""
        if action != "files.delete":
            return []
        writes: list[Write] = []
        for write in unit:
            if isinstance(write, Delete) and write.kind == "file":
                writes += await self.detaching.everywhere(
                    principal.project, write.id, now=self.now()
                )
        self.nudges.expect_gone(principal.project, writes)
        return writes

    async def found(self, project: str, store_id: str) -> Record:
        """The store's record. Raises Problem (404)."""
        return await found(self.records.of(project), "vector_store", store_id, thing="vector store")

    def start(self, tickets: Sequence[Ticket]) -> None:
        """Jobs were committed, all of which wait for whoever has room."""
        for kind in {ticket.kind for ticket in tickets}:
            self.jobs.started(next(each for each in tickets if each.kind == kind))

    def tell_when_to_poll(self, call: Call) -> None:
        """Tell the SDKs' polling helpers how soon to ask again."""
        call.response_headers["openai-poll-after-ms"] = str(self.settings.poll_after_ms)
