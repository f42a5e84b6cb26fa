"""What is written a moment after it happened, many in one commit: refusals and reads."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from famulus_audit.events import Event
from famulus_audit.settings import AuditSettings
from famulus_schemas.records import Conflict, RecordStore, StoreUnavailable, SystemRecords, Write

if TYPE_CHECKING:
    from famulus.log import Log

Home = str
"""The project among whose records an event is kept."""


class Queue:
    """A bounded queue, and the task that empties it."""

    def __init__(
        self,
        records: RecordStore | SystemRecords,
        settings: AuditSettings,
        *,
        write: Callable[[Home, Event], Write],
        due: Callable[[], Sequence[tuple[Home, Event]]],
        log: Log,
    ) -> None:
        self._records = records
        self._settings = settings
        self._write = write
        self._due = due
        self._log = log
        self._waiting: deque[tuple[Home, Event]] = deque()
        self._wake = asyncio.Event()
        self.lost = 0
        """How many found the queue full, or could not be written, since the start."""

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, home: Home, event: Event) -> None:
        """Have an event written soon; it is lost, and counted, where too many wait."""
        if len(self._waiting) >= self._settings.waiting_max:
            self.lost += 1
            return
        self._waiting.append((home, event))
        self._wake.set()

    async def run(self) -> None:
        """Write what comes, for ever."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._settings.flush_s):
                    await self._wake.wait()
            self._wake.clear()
            if self._waiting:
                # Whatever else comes meanwhile shares the commit.
                await asyncio.sleep(self._settings.flush_s)
            await self.flush()

    async def flush(self) -> None:
        """Write all that waits, and what has become due."""
        for home, event in self._due():
            self.put(home, event)
        while self._waiting:
            batch = [
                self._waiting.popleft()
                for _ in range(min(len(self._waiting), self._settings.batch_max))
            ]
            for home in dict.fromkeys(home for home, _ in batch):
                await self._commit(home, [event for each, event in batch if each == home])

    async def _commit(self, home: Home, events: Sequence[Event]) -> None:
        try:
            unit = [self._write(home, event) for event in events]
            await self._records.of(home).commit(unit)
        except (Conflict, StoreUnavailable) as error:
            self.lost += len(events)
            self._log.error("audit_events_lost", events=len(events), reason=str(error))
