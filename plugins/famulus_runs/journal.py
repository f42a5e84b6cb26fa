"""Makes each event durable, then passes it on.

Every event but a delta is on disk before anybody sees it; a delta may be seen first, because
the message that it belongs to is written whole when it ends.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence

from msgspec.structs import replace

from famulus_runs.drafts import Batch, Kept
from famulus_runs.kinds import decode_run, decode_step, encode, run_index, step_index
from famulus_schemas.deltas import MessageDeltaEvent, RunStepDeltaEvent
from famulus_schemas.errors import Problem
from famulus_schemas.events import AssistantStreamEvent, name_of
from famulus_schemas.messages import Message
from famulus_schemas.ports import Emission, Events, Threads
from famulus_schemas.records import Conflict, Insert, Records, Replace, Unit, Write
from famulus_schemas.runs import Run
from famulus_schemas.steps import RunStep

COMMIT_ATTEMPTS_MAX = 16

DONE = Emission(name="done", data=b"[DONE]")

Join = Callable[[str, Unit], Awaitable[Unit]]


class RunGone(Exception):
    """The run's records are no longer there: its thread was deleted while it was at work."""


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
    ) -> None:
        self._run_id = run.id
        self._thread_id = run.thread_id
        self._records = records
        self._threads = threads
        self._events = events
        self._join = join
        self._seq = 0
        self._offset = 0
        self._stored: set[str] = set()
        """Messages that are on disk."""

    async def write(self, batch: Batch) -> None:
        """Make a batch durable and publish it. Raises RunGone, StoreUnavailable."""
        objects = _durable(batch)
        if objects:
            await _unbroken(self._commit(objects))
        self.publish(batch)

    def publish(self, batch: Batch) -> None:
        """Pass events on to whoever listens."""
        told = [self._emission(event) for event in batch if not isinstance(event, Kept)]
        if told:
            self._events.publish(self._records.project, self._run_id, told)

    def end(self) -> None:
        """Tell listeners that nothing more comes."""
        self._events.publish(self._records.project, self._run_id, [DONE])
        self._events.close(self._records.project, self._run_id)

    # --- to listeners -------------------------------------------------------------------------

    def _emission(self, event: AssistantStreamEvent) -> Emission:
        data = event.data
        if isinstance(data, MessageDeltaEvent):
            self._offset += _length(data)
        elif not isinstance(data, RunStepDeltaEvent):
            self._seq += 1
            self._offset = 0
        position = f"{self._run_id}:1.{self._seq}.{self._offset}"
        return Emission(name=name_of(event), data=encode(data), position=position)

    # --- to disk ------------------------------------------------------------------------------

    async def _commit(self, objects: Sequence[Run | RunStep | Message]) -> None:
        for _ in range(COMMIT_ATTEMPTS_MAX):
            unit: list[Write] = []
            for one in objects:
                unit.extend(await self._writes(one))
            ends = [one for one in objects if isinstance(one, Run) and _frees_thread(one)]
            if ends:
                unit.extend(self._threads.vacate(self._thread_id))
            try:
                await self._records.commit(await self._join("runs.advance", unit))
            except Conflict as conflict:
                if conflict.reason == "version":
                    # Somebody changed metadata meanwhile: read again, and merge.
                    continue
                raise RunGone(str(conflict)) from conflict
            self._stored.update(one.id for one in objects if isinstance(one, Message))
            return
        raise RunGone(f"run {self._run_id} was changed by others {COMMIT_ATTEMPTS_MAX} times")

    async def _writes(self, one: Run | RunStep | Message) -> Unit:
        if isinstance(one, Run):
            return [await self._run_write(one)]
        if isinstance(one, RunStep):
            return [await self._step_write(one)]
        if one.status == "in_progress" and one.id not in self._stored:
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
        merged = replace(run, metadata=decode_run(stored.body).metadata)
        return Replace(
            kind="run",
            id=run.id,
            version=stored.version,
            body=encode(merged),
            index=run_index(run),
        )

    async def _step_write(self, step: RunStep) -> Write:
        stored = await self._records.get("step", step.id)
        if stored is None:
            return Insert(
                kind="step",
                id=step.id,
                parent=self._thread_id,
                created_at=step.created_at,
                body=encode(step),
                index=step_index(step),
            )
        merged = replace(step, metadata=decode_step(stored.body).metadata)
        return Replace(kind="step", id=step.id, version=stored.version, body=encode(merged))


async def _unbroken(commit: Coroutine[None, None, None]) -> None:
    """Await a commit to its end even if cancelled meanwhile: half-known is worse than late."""
    task = asyncio.ensure_future(commit)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        raise


def _durable(batch: Batch) -> list[Run | RunStep | Message]:
    """The objects of a batch as they are at its end, each once, in the order of appearance."""
    last: dict[str, Run | RunStep | Message] = {}
    for event in batch:
        if isinstance(event.data, Run | RunStep | Message):
            last[event.data.id] = event.data
    return list(last.values())


def _frees_thread(run: Run) -> bool:
    return run.status in ("completed", "failed", "cancelled", "expired", "incomplete")


def _length(delta: MessageDeltaEvent) -> int:
    length = 0
    for block in delta.delta.content or ():
        for field in ("text", "refusal"):
            part = getattr(block, field, None)
            value = getattr(part, "value", part)
            if isinstance(value, str):
                length += len(value)
    return length
