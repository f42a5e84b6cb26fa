"""Makes each event durable, then passes it on.

Every event but a delta is on disk before anybody sees it; a delta may be seen first. What a run
is writing is checkpointed at most every `checkpoint_ms` or `checkpoint_bytes`, so that a token
costs no commit and yet little is lost with a process.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from contextlib import suppress

from msgspec.structs import replace

from famulus.failpoints import failpoint
from famulus_runs.drafts import Batch, Kept
from famulus_runs.kinds import (
    ENDS,
    STEP_SHAPE,
    KeptCall,
    StepExtra,
    decode_extra,
    decode_run,
    decode_step,
    encode,
    encode_extra,
    extra_with,
    run_index,
    step_body,
    step_index,
)
from famulus_runs.log import Teller, log_writes
from famulus_runs.positions import Position
from famulus_runs.tab import Tab
from famulus_runs.turn_taking import Leave, is_by_others, leave_of
from famulus_runs.usage import is_estimate
from famulus_schemas.deltas import MessageDeltaEvent, RunStepDeltaEvent
from famulus_schemas.errors import Problem
from famulus_schemas.events import AssistantStreamEvent
from famulus_schemas.jobs import Job, Jobs, given_back_unless_done
from famulus_schemas.messages import Message
from famulus_schemas.ports import Emission, Events, Threads
from famulus_schemas.records import (
    Conflict,
    Guard,
    Insert,
    Record,
    Records,
    Replace,
    Unit,
    Write,
)
from famulus_schemas.runs import Run
from famulus_schemas.steps import RunStep

COMMIT_ATTEMPTS_MAX = 256
"""Of all who line up for a thread at the moment at which its run ends, each may come before it."""

DONE = Emission(name="done", data=b"[DONE]")

Join = Callable[[str, Unit], Awaitable[Unit]]
Stored = Run | RunStep | Message | Kept

# Tuples, because this is asked for every token, and a union is made anew at each asking.
_STORED = (Run, RunStep, Message)
_DELTAS = (MessageDeltaEvent, RunStepDeltaEvent)


class RunGone(Exception):
    """The run is no longer this worker's: its thread was deleted, or another worker has it."""


class RunCancelling(Exception):
    """Somebody asked to cancel the run while it was at work elsewhere than here."""


class Journal:
    """The events of one run, on their way to disk and to listeners."""

    def __init__(
        self,
        run: Run,
        *,
        records: Records,
        threads: Threads,
        events: Events,
        join: Join,
        jobs: Jobs,
        job: Job | None,
        at: Position,
        is_resumed: bool = True,
        stored: Iterable[str] = (),
        prompt: Callable[[], bytes] = bytes,
        tab: Tab | None = None,
    ) -> None:
        self._tab = tab
        self._run_id = run.id
        self._thread_id = run.thread_id
        self._records = records
        self._threads = threads
        self._events = events
        self._join = join
        self._jobs = jobs
        self._job = job
        self._prompt = prompt
        attempt = job.attempt if job else 1
        self._teller = Teller(run.id, attempt=attempt, at=at, is_resumed=is_resumed)
        self._told_after = at.seq
        self._open: list[AssistantStreamEvent] = []
        self._stored = set(stored)
        """Messages that are on disk."""
        self._lock = asyncio.Lock()
        self.is_at_rest = False
        """Whether the run was brought to rest, and that is on disk."""
        self.is_settled = True
        """Whether it is known what became of the last commit: all of it is on disk, or nothing."""

    @property
    def at(self) -> Position:
        """How far the run was told."""
        return self._teller.at

    @property
    def told(self) -> tuple[int, Sequence[AssistantStreamEvent]]:
        """The number of the last event that was no delta, and the deltas that were told since."""
        return self._told_after, self._open

    async def write(self, batch: Batch) -> None:
        """Make a batch durable and publish it, whatever is cancelled meanwhile.

        Raises RunGone, RunCancelling, StoreUnavailable; then nothing of it was told.
        """
        objects = _durable(batch)
        events = [event for event in batch if not isinstance(event, Kept)]
        if objects:
            await _unbroken(self._keep_and_publish(objects, events))
        else:
            self._publish(events, [self._teller.tell(event) for event in events])

    async def _keep_and_publish(
        self, objects: Sequence[Stored], events: Sequence[AssistantStreamEvent]
    ) -> None:
        before = self._teller.here
        emissions = [self._teller.tell(event) for event in events]
        failpoint("journal_before_commit")
        try:
            await self._commit(objects, emissions)
        except Exception:
            self._teller.go_back(before)
            raise
        failpoint("journal_committed")
        self._publish(events, emissions)

    def _publish(
        self, events: Sequence[AssistantStreamEvent], emissions: Sequence[Emission]
    ) -> None:
        for event in events:
            self._note(event)
        if emissions:
            self._events.publish(self._records.project, self._run_id, emissions)
            failpoint("journal_told")
        if self.is_at_rest:
            # At once: whoever takes the run further may do so from now on, and tells more of it.
            self._events.publish(self._records.project, self._run_id, [DONE])
            self._events.close(self._records.project, self._run_id)

    def _note(self, event: AssistantStreamEvent) -> None:
        if isinstance(event.data, _DELTAS):
            self._open.append(event)
        else:
            self._open = []
            self._told_after = self._teller.at.seq

    async def checkpoint(self, item: Message | Kept) -> None:
        """Store an open item as far as it is. What is lost of it is only later told again."""
        failpoint("checkpoint_before_commit")
        await _unbroken(self._commit([item], ()))
        failpoint("checkpoint_committed")

    async def is_cancelling(self) -> bool:
        """Whether somebody has asked to cancel the run, as it is stored."""
        stored = await self._records.get("run", self._run_id)
        return stored is not None and decode_run(stored.body).status == "cancelling"

    # --- to disk ------------------------------------------------------------------------------

    async def _commit(self, objects: Sequence[Stored], emissions: Sequence[Emission]) -> None:
        async with self._lock:
            for _ in range(COMMIT_ATTEMPTS_MAX):
                self.is_settled = False
                leave = await self._leave(objects)
                try:
                    with given_back_unless_done(self._jobs, leave.heir):
                        await self._records.commit(await self._unit(objects, emissions, leave))
                except (RunCancelling, RunGone):
                    self.is_settled = True
                    raise
                except Conflict as conflict:
                    self.is_settled = True
                    if is_by_others(conflict, self._run_id):
                        continue
                    if conflict.kind != "job" and conflict.reason == "version":
                        # Somebody changed metadata meanwhile: read again, and merge.
                        continue
                    raise RunGone(str(conflict)) from conflict
                self._stored.update(one.id for one in objects if isinstance(one, Message))
                self.is_settled = True
                if self._tab is not None:
                    self._tab.written()
                self.is_at_rest = any(isinstance(one, Run) and rests(one) for one in objects)
                if leave.heir is not None:
                    self._jobs.started(leave.heir)
                return
        raise RunGone(f"run {self._run_id} was changed by others {COMMIT_ATTEMPTS_MAX} times")

    async def _leave(self, objects: Sequence[Stored]) -> Leave:
        """How the run leaves its thread, if these are its end."""
        if not any(isinstance(one, Run) and one.status in ENDS for one in objects):
            return Leave()
        failpoint("journal_vacating")
        return await leave_of(
            self._records.project,
            self._thread_id,
            self._run_id,
            threads=self._threads,
            jobs=self._jobs,
        )

    async def _unit(
        self, objects: Sequence[Stored], emissions: Sequence[Emission], leave: Leave
    ) -> Unit:
        unit: list[Write] = []
        for one in objects:
            unit.extend(await self._writes(one))
        at = self._teller.at
        unit.extend(log_writes(self._run_id, self._thread_id, emissions, at=at))
        run = next((one for one in objects if isinstance(one, Run)), None)
        if run is None:
            # Steps would outlive a thread that was deleted meanwhile.
            unit.append(Guard(kind="run", id=self._run_id))
        unit.extend(leave.unit)
        unit.extend(self._of_job(run))
        if self._tab is not None:
            unit.extend(await self._tab.writes(objects))
        return await self._join("runs.advance", unit)

    def _of_job(self, run: Run | None) -> Unit:
        """What keeps a worker out that was given up for dead, or ends its work."""
        if self._job is None:
            return []
        if run is not None and run.status in ENDS:
            return self._jobs.finish(self._job)
        if run is not None and run.status == "requires_action":
            return [self._job.guard(), *self._jobs.park(self._job)]
        return [self._job.guard()]

    async def _writes(self, one: Stored) -> Unit:
        if isinstance(one, Run):
            return [await self._run_write(one)]
        if isinstance(one, RunStep):
            return [await self._step_write(one, ())]
        if isinstance(one, Kept):
            return [await self._step_write(one.data, one.calls)]
        if one.status == "in_progress" and one.id not in self._stored and not one.content:
            return self._threads.insert_message(one)
        try:
            return await self._threads.replace_message(self._records.project, one)
        except Problem:
            # Not there: either deleted by a client meanwhile, or begun and ended in this batch.
            return [] if one.id in self._stored else self._threads.insert_message(one)

    async def _run_write(self, run: Run) -> Write:
        stored = await self._records.get("run", run.id)
        if stored is None:
            raise RunGone(f"run {run.id} is gone")
        now = decode_run(stored.body)
        if now.status == "cancelling" and run.status != "cancelled":
            raise RunCancelling
        merged = replace(run, metadata=now.metadata)
        return Replace(
            kind="run",
            id=run.id,
            version=stored.version,
            body=encode(merged),
            extra=marked_run(stored) if is_estimate(run.usage) else None,
            index=run_index(run),
        )

    async def _step_write(self, step: RunStep, calls: tuple[KeptCall, ...]) -> Write:
        stored = await self._records.get("step", step.id)
        if stored is None:
            return Insert(
                kind="step",
                id=step.id,
                parent=self._thread_id,
                created_at=step.created_at,
                body=step_body(step),
                extra=encode_extra(
                    StepExtra(
                        prompt=self._prompt(),
                        usage_is_estimate=is_estimate(step.usage),
                        calls=calls,
                    )
                ),
                shape=STEP_SHAPE,
                index=step_index(step),
            )
        merged = replace(step, metadata=decode_step(stored.body).metadata)
        extra = extra_with(stored, step, calls)
        return Replace(
            kind="step",
            id=step.id,
            version=stored.version,
            body=step_body(merged),
            extra=extra,
            shape=None if extra is None else STEP_SHAPE,
        )


def marked_run(stored: Record) -> bytes:
    """A run's extra that says that its usage is an estimate."""
    return encode_extra(replace(decode_extra(stored.extra), usage_is_estimate=True))


def rests(run: Run) -> bool:
    """Whether nothing happens to the run until a client does something."""
    return run.status in ENDS or run.status == "requires_action"


async def _unbroken(commit: Coroutine[None, None, None]) -> None:
    """Await a commit to its end even if cancelled meanwhile: half-known is worse than late."""
    task = asyncio.ensure_future(commit)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        while not task.done():
            with suppress(asyncio.CancelledError):
                await asyncio.wait([task])
        # That it failed matters more than that nobody waits for it any more.
        task.result()
        raise


def _durable(batch: Batch) -> list[Stored]:
    """The objects of a batch as they are at its end, each once, in the order of appearance."""
    last: dict[str, Run | RunStep | Message] = {}
    calls: dict[str, tuple[KeptCall, ...]] = {}
    for event in batch:
        if isinstance(event.data, _STORED):
            last[event.data.id] = event.data
        if isinstance(event, Kept) and event.calls:
            calls[event.data.id] = event.calls
    return [
        Kept(data=one, calls=calls[one.id]) if isinstance(one, RunStep) and one.id in calls else one
        for one in last.values()
    ]
