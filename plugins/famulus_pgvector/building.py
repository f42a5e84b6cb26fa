"""Indexes of large stores, built in the background: of all processes, by one."""

from __future__ import annotations

import asyncio
from typing import Any

from famulus.log import Log
from famulus_pgvector.database import StoreRow
from famulus_pgvector.migrations import set_path
from famulus_pgvector.searching import INDEXED_DIMENSIONS_MAX, index_name, is_indexed
from famulus_pgvector.sessions import UNREACHABLE, described, lock_number, session
from famulus_pgvector.settings import PgvectorSettings


class Builder:
    """Builds one index after the other."""

    def __init__(self, settings: PgvectorSettings, *, log: Log) -> None:
        self.fault = ""
        """Why the last index was not built; empty where it was."""
        self._settings = settings
        self._log = log
        self._waiting: dict[int, StoreRow] = {}
        self._built: set[int] = set()
        self._any = asyncio.Event()

    def consider(self, row: StoreRow) -> None:
        """Have an index built for the store, if it should have one."""
        if (
            row.chunks > self._settings.exact_chunks_max
            and row.dimensions <= INDEXED_DIMENSIONS_MAX
            and row.id not in self._built
        ):
            self._waiting[row.id] = row
            self._any.set()

    async def run(self) -> None:
        """Build what is wanted, until cancelled."""
        while True:
            await self._any.wait()
            self._any.clear()
            while self._waiting:
                row = self._waiting.pop(next(iter(self._waiting)))
                try:
                    await self._build(row)
                    self.fault = ""
                except UNREACHABLE as error:
                    self.fault = described(error)
                    self._log.warning("index_failed", store=row.id, reason=self.fault)

    async def _build(self, row: StoreRow) -> None:
        connection = await session(self._settings, statement_s=self._settings.build_s)
        try:
            await set_path(connection, self._settings.schema)
            number = lock_number(self._settings.schema, "index", str(row.id))
            # Whoever has it is at it.
            if await connection.fetchval("select pg_try_advisory_lock($1)", number):
                await self._build_alone(connection, row)
        finally:
            connection.terminate()

    async def _build_alone(self, connection: Any, row: StoreRow) -> None:
        if not await is_indexed(connection, row.id):
            self._log.info("index_being_built", store=row.id, chunks=row.chunks)
            name, memory = index_name(row.id), f"{self._settings.build_memory_mb:d}MB"
            # One that was broken off is of no use.
            await connection.execute(f"drop index concurrently if exists {name}")
            await connection.execute("select set_config('maintenance_work_mem', $1, false)", memory)
            await connection.execute(
                f"create index concurrently {name} on chunk using hnsw "
                f"((embedding::vector({row.dimensions:d})) vector_cosine_ops) "
                f"with (m = {self._settings.links:d}, "
                f"ef_construction = {max(self._settings.build_width, 2 * self._settings.links):d}) "
                f"where store = {row.id:d} and embedding is not null"
            )
            self._log.info("index_built", store=row.id)
        self._built.add(row.id)
