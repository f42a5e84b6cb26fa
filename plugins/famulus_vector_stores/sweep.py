"""Stores that expire: marked so in one commit with the job that removes their chunks."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from msgspec.structs import replace

from famulus import Problem
from famulus.failpoints import failpoint
from famulus_schemas.jobs import Jobs, Ticket
from famulus_schemas.records import SystemRecords, Unit
from famulus_vector_stores.detaching import CLEAR_STORE, expired_key
from famulus_vector_stores.kinds import decode_store
from famulus_vector_stores.ledger import Ledger, Shelf, is_over

if TYPE_CHECKING:
    from famulus.log import Log


class Sweeper:
    """Looks for stores whose time is over, again and again."""

    def __init__(
        self,
        *,
        every_project: SystemRecords,
        shelf: Shelf,
        jobs: Jobs,
        now: Callable[[], int],
        pause_s: float,
        log: Log,
    ) -> None:
        self._every_project = every_project
        self._shelf = shelf
        self._jobs = jobs
        self._now = now
        self._pause_s = pause_s
        self._log = log

    async def run(self) -> None:
        """Sweep for ever."""
        while True:
            try:
                await self.sweep()
            except Exception as error:  # Isolation: one trouble must not end all sweeping.
                self._log.error("sweep_failed", exc_info=error)
            await asyncio.sleep(self._pause_s)

    async def sweep(self) -> None:
        """Mark every store that has expired."""
        after = 0
        while records := await self._every_project.scan(
            "vector_store", where={"expires": "yes"}, after_seq=after
        ):
            after = records[-1].seq
            for record in records:
                if is_over(decode_store(record.body), self._now()):
                    await self._expire(record.project, record.id)

    async def _expire(self, project: str, store_id: str) -> None:
        ticket: Ticket | None = None

        async def plan(ledger: Ledger) -> Unit | None:
            nonlocal ticket
            if ledger.store.status == "expired" or not ledger.is_over:
                return None
            ledger.store = replace(ledger.store, status="expired", usage_bytes=0)
            ledger.found_otherwise()
            ticket = self._jobs.enqueue(project, CLEAR_STORE, expired_key(store_id), waits=True)
            failpoint("store_expire_before_commit")
            return ticket.unit

        try:
            await self._shelf.change(project, store_id, plan)
        except Problem:
            # Somebody was faster and has deleted it.
            return
        failpoint("store_expired")
        if ticket is not None:
            self._jobs.started(ticket)
