"""Group commit: one task takes every unit that waits and commits them in one transaction.

One sync of the server's log then serves all of them, and the statements' round trips too.

What a caller is told is what happened. A batch whose connection or locks were lost before its
commit was sent is not written, and is tried again, judged anew. If the connection is lost while
the commit is under way, it may have happened or not: then nobody is answered before the server
has told, by the transaction's id, what became of it. If it cannot be asked within `outcome_s`,
the units end in OutcomeUnknown, which claims neither.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

import anyio
import asyncpg

from famulus.failpoints import failpoint
from famulus.log import Log
from famulus_postgres import statements
from famulus_postgres.batch import write_batch
from famulus_postgres.failures import UNREACHABLE, Failure, OutcomeUnknown, described, failure_of
from famulus_postgres.sessions import Sessions
from famulus_postgres.settings import PostgresSettings
from famulus_schemas.records import Conflict, Insert, Replace, StoreUnavailable, Unit

_WAITS_PER_BATCH = 2
"""Statements that may have to wait: for the locks, and for the rows."""


class Waiting:
    """A unit that waits for its batch."""

    __slots__ = ("done", "project", "size", "unit")

    def __init__(self, project: str, unit: Unit, done: asyncio.Future[None]) -> None:
        self.project = project
        self.unit = unit
        self.done = done
        self.size = 0
        for write in unit:
            if isinstance(write, (Insert, Replace)):
                self.size += len(write.body or b"") + len(write.extra or b"")

    def answer(self, error: Exception | None) -> None:
        """Let the caller go on; nothing happens where it is no longer there."""
        if self.done.done():
            return
        if error is None:
            self.done.set_result(None)
        else:
            self.done.set_exception(error)


class _Failed(Exception):
    """A batch was not written, for certain."""

    def __init__(self, cause: Exception) -> None:
        self.cause = cause
        self.failure = failure_of(cause)


class Writer:
    """Takes units; each returns once it is on disk, or raises and nothing of it was written."""

    def __init__(self, sessions: Sessions, settings: PostgresSettings, log: Log) -> None:
        self._sessions = sessions
        self._settings = settings
        self._log = log
        self._waiting: deque[Waiting] = deque()
        self.batches = 0
        self.units = 0
        self.seconds = 0.0
        """What was committed since the start, and how long that took."""
        self._wake = asyncio.Event()
        self._closing = asyncio.Event()
        self._connection: Any = None
        self._last_used = 0.0
        self.down = ""
        """Why nothing can be written now; empty while it can."""

    @property
    def waiting(self) -> int:
        """Units that wait for the batch after the one that is being written."""
        return len(self._waiting)

    async def commit(self, project: str, unit: Unit) -> None:
        """Queue a unit and wait for its verdict.

        Raises Conflict, StoreUnavailable or OutcomeUnknown.
        """
        if self._closing.is_set() or self.down:
            raise StoreUnavailable(self.down or "the store is being closed")
        if len(self._waiting) >= self._settings.units_waiting_max:
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
                await self._settle(batch)
                if self.down:
                    await self._come_back()
                # Those just answered may have more to write: it can still join the next batch.
                await asyncio.sleep(0)
        finally:
            # However it ended, nobody may be left to wait for it.
            self._go_down("the store is closed" if self._closing.is_set() else "the writer failed")
            self._closing.set()
            self._disconnect()

    def stop(self) -> None:
        """Take no further units, and let `run` return once those that wait are written."""
        self._closing.set()
        self._wake.set()

    async def _next_batch(self) -> list[Waiting]:
        """All that wait, up to the limits; empty once there is nothing more to come."""
        while True:
            if batch := self._take():
                return batch
            if self._closing.is_set():
                return []
            self._wake.clear()
            await self._wake.wait()

    def _take(self) -> list[Waiting]:
        batch: list[Waiting] = []
        room = self._settings.bytes_per_batch_max
        while self._waiting and len(batch) < self._settings.units_per_batch_max:
            room -= self._waiting[0].size
            if batch and room < 0:
                break
            waiting = self._waiting.popleft()
            # Who was cancelled while waiting is not there to hear that it was written.
            if not waiting.done.done():
                batch.append(waiting)
        return batch

    async def _settle(self, batch: Sequence[Waiting]) -> None:
        """Write a batch and answer everyone in it."""
        clock = asyncio.get_running_loop().time
        began = clock()
        try:
            refusals = await self._try(batch)
        except _Failed as failed:
            await self._failed(batch, failed)
        except OutcomeUnknown as unknown:
            reason = str(unknown)
            self._log.error("postgres_outcome_unknown", units=len(batch), reason=reason)
            _answer_all(batch, lambda: OutcomeUnknown(reason))
        except BaseException:
            # Only a commit under way is in doubt, and `_commit` has answered for it.
            _answer_all(batch, lambda: StoreUnavailable("the writer has ended"))
            raise
        else:
            self.batches += 1
            self.units += len(batch)
            self.seconds += clock() - began
            failpoint("postgres_before_answers")
            for waiting, refusal in zip(batch, refusals, strict=True):
                waiting.answer(refusal)
            failpoint("postgres_answered")

    async def _failed(self, batch: Sequence[Waiting], failed: _Failed) -> None:
        if failed.failure is Failure.UNIT:
            await self._settle_apart(batch, failed.cause)
            return
        reason = f"PostgreSQL cannot write: {described(failed.cause)}"
        self._log.error("postgres_not_written", units=len(batch), reason=reason)
        _answer_all(batch, lambda: StoreUnavailable(reason))
        if failed.failure is Failure.CONNECTION:
            self._go_down(reason)

    async def _settle_apart(self, batch: Sequence[Waiting], cause: Exception) -> None:
        """Halve the batch until the unit that cannot be stored is alone with its error."""
        if len(batch) == 1:
            batch[0].answer(_unstorable(cause))
            return
        middle = len(batch) // 2
        await self._settle(batch[:middle])
        await self._settle(batch[middle:])

    async def _try(self, batch: Sequence[Waiting]) -> list[Conflict | None]:
        """Write a batch, again where that may help. Raises _Failed or OutcomeUnknown."""
        for pause in self._pauses():
            try:
                return await self._write(batch)
            except _Failed as failed:
                if pause is None or failed.failure in (Failure.STORE, Failure.UNIT):
                    raise
                self._log.warning("postgres_batch_retried", reason=described(failed.cause))
            await asyncio.sleep(pause)
        raise AssertionError("the last pause is None")

    def _pauses(self) -> Iterator[float | None]:
        pause = self._settings.retry_first_s
        for _ in range(self._settings.attempts_max - 1):
            yield min(pause, self._settings.retry_max_s)
            pause *= 2
        yield None

    async def _write(self, batch: Sequence[Waiting]) -> list[Conflict | None]:
        """Try once. Raises _Failed where nothing was committed, or OutcomeUnknown."""
        units = [(waiting.project, waiting.unit) for waiting in batch]
        try:
            connection = await self._connected()
            # The server's own limit comes first; this one is for a server that is silent.
            async with asyncio.timeout(_WAITS_PER_BATCH * self._settings.statement_s):
                refusals, xid = await write_batch(
                    connection,
                    units,
                    schema=self._settings.schema,
                    locks_max=self._settings.locks_per_batch_max,
                )
        except Exception as error:  # Whatever it was, one unit's fault must not end all writing.
            self._disconnect()
            raise _Failed(error) from error
        except BaseException:
            self._disconnect()
            raise
        await self._commit(connection, xid, batch)
        return refusals

    async def _commit(self, connection: Any, xid: int | None, batch: Sequence[Waiting]) -> None:
        try:
            error = await self._send_commit(connection)
            if error is None or (xid is not None and await self._was_committed(xid, error)):
                return
        except OutcomeUnknown:
            raise
        except BaseException:
            self._disconnect()
            _answer_all(batch, lambda: OutcomeUnknown("the server stopped during a commit"))
            raise
        raise _Failed(error) from error

    async def _send_commit(self, connection: Any) -> Exception | None:
        """Commit; whatever went wrong, it leaves open whether the commit happened."""
        try:
            async with asyncio.timeout(self._settings.statement_s):
                failpoint("postgres_before_commit")
                tag = await connection.execute(statements.COMMIT)
                failpoint("postgres_committed")
        except Exception as error:  # Not to be told apart here: the server is asked instead.
            self._disconnect()
            return error
        if tag == "COMMIT":
            return None
        self._disconnect()
        return ConnectionError(f"commit was answered with {tag}")

    async def _was_committed(self, xid: int, error: Exception) -> bool:
        """Ask until the server knows. Raises OutcomeUnknown if it never says."""
        self._log.warning("postgres_commit_in_doubt", reason=described(error))
        try:
            async with asyncio.timeout(self._settings.outcome_s):
                outcome = await self._outcome(xid)
                while outcome == "in progress":
                    await asyncio.sleep(self._settings.retry_first_s)
                    outcome = await self._outcome(xid)
        except TimeoutError:
            outcome = None
        if outcome is None:
            raise OutcomeUnknown(
                f"the answer to a commit was lost ({described(error)}), and PostgreSQL could "
                f"not be asked about it for {self._settings.outcome_s} s"
            ) from error
        return outcome == "committed"

    async def _outcome(self, xid: int) -> str | None:
        try:
            connection = await self._connected()
            outcome: str | None = await connection.fetchval(statements.OUTCOME, xid)
            if outcome == "in progress":
                await connection.execute(statements.END_BACKEND, str(xid & 0xFFFF_FFFF))
        except asyncpg.InvalidParameterValueError:
            # The id was never given out there, as on a standby that took over.
            return "aborted"
        except UNREACHABLE as error:
            self._disconnect()
            self._go_down(f"PostgreSQL cannot be reached: {described(error)}")
            return "in progress"
        return outcome

    async def _come_back(self) -> None:
        """Connect again, and refuse units until that succeeds."""
        pause = self._settings.retry_first_s
        while not self._closing.is_set():
            try:
                await self._connected()
                return
            except UNREACHABLE as error:
                self._go_down(f"PostgreSQL cannot be reached: {described(error)}")
            try:
                async with asyncio.timeout(pause):
                    await self._closing.wait()
            except TimeoutError:
                pause = min(2 * pause, self._settings.retry_max_s)

    async def _connected(self) -> Any:
        now = asyncio.get_running_loop().time()
        # A connection that was idle for long may have died unseen, somewhere on the way.
        if now - self._last_used > self._settings.pool_idle_s:
            self._disconnect()
        self._last_used = now
        if self._connection is None or self._connection.is_closed():
            self._connection = await self._sessions.open()
            if self.down:
                self._log.info("postgres_back")
                self.down = ""
        return self._connection

    def _go_down(self, reason: str) -> None:
        self.down = reason
        self._refuse_waiting(reason)

    def _disconnect(self) -> None:
        # A connection in the midst of something is of no further use, and ending it rolls back.
        if self._connection is not None:
            self._connection.terminate()
            self._connection = None

    def _refuse_waiting(self, reason: str) -> None:
        while self._waiting:
            self._waiting.popleft().answer(StoreUnavailable(reason))


@asynccontextmanager
async def running_writer(
    sessions: Sessions, settings: PostgresSettings, log: Log
) -> AsyncIterator[Writer]:
    """A writer that runs until left; what waits by then is written first, within `close_s`."""
    writer = Writer(sessions, settings, log)
    task = asyncio.create_task(writer.run())
    try:
        yield writer
    finally:
        writer.stop()
        # A stop that runs out of patience must not cut a batch off from its answers.
        with anyio.CancelScope(shield=True):
            await asyncio.wait([task], timeout=settings.close_s)
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


def _unstorable(cause: Exception) -> Exception:
    if not isinstance(cause, asyncpg.PostgresError):
        return cause
    error = ValueError(f"PostgreSQL cannot store the unit: {described(cause)}")
    error.__cause__ = cause
    return error


def _answer_all(batch: Sequence[Waiting], error: Callable[[], Exception]) -> None:
    for waiting in batch:
        waiting.answer(error())
