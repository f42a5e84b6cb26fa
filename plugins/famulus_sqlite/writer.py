"""Group commit: one task takes every unit that waits and commits them together.

One sync to disk then serves all of them, which is what makes full durability cheap under load:
units that come while a batch is being synced make the next batch.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial

import anyio
import msgspec

from famulus.failpoints import failpoint
from famulus.log import Log
from famulus.units import judge, names_of
from famulus_schemas.health import Health
from famulus_schemas.records import Conflict, StoreUnavailable, Unit
from famulus_sqlite.faults import Fault, fault_of
from famulus_sqlite.numbers import Numbers
from famulus_sqlite.rows import read_beyond, read_rows, write_effect
from famulus_sqlite.transactions import Transactions


class Waiting(msgspec.Struct, frozen=True):
    """A unit that waits for its batch."""

    project: str
    unit: Unit
    done: asyncio.Future[None]


class Written:
    """What was written since the start."""

    def __init__(self) -> None:
        self.batches = 0
        self.units = 0
        self.seconds = 0.0
        """From handing a batch over until it was on the disk."""

    def add(self, units: int, seconds: float) -> None:
        """One more batch."""
        self.batches += 1
        self.units += units
        self.seconds += seconds


_OF_ONE_UNIT = (sqlite3.Error, TypeError, ValueError, OverflowError, AttributeError)
"""What a unit can raise that holds something other than its types say, besides SQLite's own."""


class Writer:
    """Takes units; each returns once it is on disk, or raises and nothing of it was written."""

    def __init__(
        self,
        transactions: Transactions,
        numbers: Numbers,
        *,
        units_per_batch_max: int,
        units_waiting_max: int,
        log: Log,
    ) -> None:
        self._transactions = transactions
        self._numbers = numbers
        self._units_per_batch_max = units_per_batch_max
        self._units_waiting_max = units_waiting_max
        self._log = log
        self._waiting: deque[Waiting] = deque()
        self._wake = asyncio.Event()
        self._closing = False
        self._broken = ""
        """Why nothing can be written any more; empty while it can."""
        self._failure = ""
        """Why the last batch could not be written; empty where it was."""
        self.written = Written()

    @property
    def waiting(self) -> int:
        """Units that wait for the batch after the one that is being written."""
        return len(self._waiting)

    async def commit(self, project: str, unit: Unit) -> None:
        """Queue a unit and wait for its verdict. Raises Conflict or StoreUnavailable."""
        if self._broken or self._closing:
            raise StoreUnavailable(self._broken or "the store is closed")
        if len(self._waiting) >= self._units_waiting_max:
            raise StoreUnavailable(
                f"overloaded: {len(self._waiting)} units wait to be written (units_waiting_max)"
            )
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(Waiting(project, unit, done))
        self._wake.set()
        await done

    async def run(self) -> None:
        """Write batch after batch until `stop`; what waits by then is still written."""
        try:
            while batch := await self._next_batch():
                await self._write(batch)
        except BaseException as error:
            self._log.error("records_writer_ended", reason=repr(error))
            raise
        finally:
            # However it ended, nobody may be left to wait for it.
            self._break("the writer has ended")

    def stop(self) -> None:
        """Take no further units, and let `run` return once those that wait are written."""
        self._closing = True
        self._wake.set()

    def health(self) -> Health:
        """Whether units are being written."""
        if self._broken:
            return Health(status="down", detail=self._broken)
        if self._failure:
            return Health(status="degraded", detail=self._failure)
        return Health()

    async def _next_batch(self) -> list[Waiting]:
        """All that wait, up to the limit; empty once there is nothing more to come."""
        while True:
            while self._waiting:
                size = min(len(self._waiting), self._units_per_batch_max)
                taken = [self._waiting.popleft() for _ in range(size)]
                # Who was cancelled while waiting is not there to hear that it was written.
                if batch := [waiting for waiting in taken if not waiting.done.done()]:
                    return batch
            if self._closing:
                return []
            self._wake.clear()
            await self._wake.wait()

    async def _write(self, batch: Sequence[Waiting]) -> None:
        clock = asyncio.get_running_loop().time
        began = clock()
        try:
            refusals = await self._transactions.run(partial(self._judge_and_write, batch))
        except _OF_ONE_UNIT as error:
            await self._failed(batch, error)
        except BaseException:
            for waiting in batch:
                _answer(waiting, StoreUnavailable("the writer has ended in the midst of a unit"))
            raise
        else:
            self._numbers.committed()
            self.written.add(len(batch), clock() - began)
            self._failure = ""
            failpoint("sqlite_before_answers")
            for waiting, refusal in zip(batch, refusals, strict=True):
                _answer(waiting, refusal)
            failpoint("sqlite_answered")

    def _judge_and_write(
        self, batch: Sequence[Waiting], connection: sqlite3.Connection
    ) -> list[Conflict | None]:
        units = [(waiting.project, waiting.unit) for waiting in batch]
        names = names_of(units)
        stored = read_rows(connection, names.keys)
        if names.beyond:
            # Only what the batch names can leave a list before it is judged.
            stored |= read_beyond(connection, names.beyond, limit=len(names.keys) + 1)
        judged = judge(units, stored, self._numbers.next)
        failpoint("sqlite_judged")
        write_effect(connection, judged.effect)
        failpoint("sqlite_written")
        self._numbers.save(connection)
        return judged.refusals

    async def _failed(self, batch: Sequence[Waiting], error: Exception) -> None:
        fault = fault_of(error)
        if fault is Fault.UNIT:
            await self._write_apart(batch, error)
            return
        if not self._failure:
            self._log.error("records_not_written", units=len(batch), reason=str(error))
        self._failure = f"the database cannot be written: {error}"
        for waiting in batch:
            _answer(waiting, StoreUnavailable(self._failure))
        if fault is Fault.STORE:
            self._break(f"{self._failure}; restart the server once the disk is well")

    async def _write_apart(self, batch: Sequence[Waiting], error: Exception) -> None:
        """Write each unit alone, as one of them cannot be stored and must not spoil the others."""
        if len(batch) == 1:
            _answer(batch[0], error)
            return
        for waiting in batch:
            if self._broken:
                _answer(waiting, StoreUnavailable(self._broken))
            else:
                await self._write([waiting])

    def _break(self, reason: str) -> None:
        self._broken = self._broken or reason
        while self._waiting:
            _answer(self._waiting.popleft(), StoreUnavailable(self._broken))


@asynccontextmanager
async def running_writer(
    transactions: Transactions,
    numbers: Numbers,
    *,
    units_per_batch_max: int,
    units_waiting_max: int,
    log: Log,
) -> AsyncIterator[Writer]:
    """A writer that runs until left; what waits by then is written first."""
    writer = Writer(
        transactions,
        numbers,
        units_per_batch_max=units_per_batch_max,
        units_waiting_max=units_waiting_max,
        log=log,
    )
    task = asyncio.create_task(writer.run())
    try:
        yield writer
    finally:
        writer.stop()
        # A stop that runs out of patience must not cut a batch off from its answers.
        with anyio.CancelScope(shield=True):
            await task


def _answer(waiting: Waiting, error: Exception | None) -> None:
    if waiting.done.done():
        return
    if error is None:
        waiting.done.set_result(None)
    else:
        waiting.done.set_exception(error)
