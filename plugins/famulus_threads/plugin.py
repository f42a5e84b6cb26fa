"""The plugin: the operations of threads and messages, and THREADS for other plugins."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from famulus import Operation, Plugin, hookimpl, need, operations, want
from famulus.plugin import Host
from famulus_schemas.ports import FILES, RECORDS, STORES, THREADS
from famulus_schemas.retention import Data
from famulus_threads.kinds import ACTIVE_RUN, MESSAGE, THREAD
from famulus_threads.making import Maker
from famulus_threads.message_operations import MessageOperations
from famulus_threads.on_busy import House
from famulus_threads.removal import Removal
from famulus_threads.service import ThreadService
from famulus_threads.settings import ThreadsSettings
from famulus_threads.thread_operations import ThreadOperations


class ThreadsPlugin(Plugin[ThreadsSettings]):
    """Serves threads and messages, and provides THREADS."""

    name = "threads"
    provides = (THREADS,)
    records = need(RECORDS)
    files = want(FILES)
    stores = want(STORES)

    service: ThreadService

    def __init__(self, settings: ThreadsSettings, host: Host) -> None:
        super().__init__(settings, host)
        self.house = House()
        self.maker = Maker(settings, make_id=host.make_id, refusal=self.house.picture_refusal)
        self.removal = Removal(self)

    @asynccontextmanager
    async def lifespan(self) -> AsyncIterator[None]:
        """Declare the kinds of record, and provide the port."""
        await self.records.declare(THREAD, MESSAGE, ACTIVE_RUN)
        self.service = ThreadService(
            self.records,
            self.maker,
            now=self.now,
            settings=self.settings,
            house=self.house,
            files=self.files,
            stores=self.stores,
        )
        self.provide(THREADS, self.service)
        yield

    @hookimpl
    def register_operations(self) -> list[Operation]:
        """Threads and messages."""
        return [*operations(ThreadOperations(self)), *operations(MessageOperations(self))]

    @hookimpl
    def register_data_kinds(self) -> list[Data]:
        """Threads and messages."""
        return list(self.removal.kinds())
