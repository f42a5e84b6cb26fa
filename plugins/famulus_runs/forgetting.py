"""What runs keep of messages that are gone: the prompts of steps, and what was told of them.

A prompt is the conversation as it was, and a run's log has the messages that it wrote. A message
that a client deletes is forgotten there by a job, which is committed with the deletion.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from msgspec.structs import replace

from famulus_runs.kinds import STEP_SHAPE, decode_run, encode, encode_extra, step_extra
from famulus_runs.log import Entry
from famulus_schemas.jobs import Job
from famulus_schemas.messages import Message
from famulus_schemas.records import Conflict, Delete, Record, Records, Replace, Unit, Write

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from famulus_runs.plugin import Runs

    Change = Callable[[Records, Record], Awaitable[Write | None]]

FORGET = "runs.forget"
"""The kind of job; its key is thread and message, and perhaps a run that is waited for."""
ATTEMPTS_MAX = 16
"""What is kept of a run that is over changes only so often while it is being forgotten."""
AT_ONCE = 100
"""Records read in one go."""
AT_WORK = ("in_progress", "cancelling")

_TOLD_OF_MESSAGES = b'"event":"thread.message.'

_entries = msgspec.json.Decoder(list[Entry]).decode
_message = msgspec.json.Decoder(Message).decode


class Forgetting:
    """Has runs forget what was deleted on their thread."""

    def __init__(self, plugin: Runs) -> None:
        self._plugin = plugin

    async def joined_by(self, project: str, deleted: Delete) -> Unit:
        """The writes by which a message that a client deletes is forgotten soon."""
        record = await self._plugin.records.of(project).get("message", deleted.id)
        return [] if record is None else self._promised(project, f"{record.parent}/{deleted.id}")

    def _promised(self, project: str, key: str) -> Unit:
        return self._plugin.jobs.enqueue(project, FORGET, key, waits=True).unit

    async def do(self, job: Job) -> None:
        """Forget a message that is gone; not before the run that may have read it is over."""
        thread_id, message_id, *waited_for = job.key.split("/")
        if waited_for and await self._is_running(job.project, waited_for[0]):
            return
        reader = None if waited_for else await self._reader(job.project, thread_id)
        if not await self._forget_all(job.project, thread_id):
            return
        unit: list[Write] = [*self._plugin.jobs.finish(job)]
        if reader is not None:
            # Only for this one: those that come after it read the thread without the message.
            unit += self._promised(job.project, f"{thread_id}/{message_id}/{reader}")
        try:
            await self._plugin.records.of(job.project).commit(unit)
        except Conflict:
            # Another worker has taken the job over.
            return

    async def forget(self, project: str, thread_id: str) -> bool:
        """Forget what is gone of a thread; False while a run may still write it down."""
        is_free = await self._reader(project, thread_id) is None
        return await self._forget_all(project, thread_id) and is_free

    async def _reader(self, project: str, thread_id: str) -> str | None:
        """The run that is at work on a thread, and has read it before."""
        occupancy = await self._plugin.threads.occupancy(project, thread_id)
        if occupancy is None or not await self._is_running(project, occupancy.run):
            return None
        return occupancy.run

    async def _is_running(self, project: str, run_id: str) -> bool:
        run = await self._plugin.records.of(project).get("run", run_id)
        return run is not None and decode_run(run.body).status in AT_WORK

    async def _forget_all(self, project: str, thread_id: str) -> bool:
        """Whether no step has a prompt now, and no log a text that is gone."""
        records = self._plugin.records.of(project)
        for _ in range(ATTEMPTS_MAX):
            if await _each(records, "step", thread_id, _without_prompt) and await _each(
                records, "run_event", thread_id, _without_texts
            ):
                return True
        return False


async def _each(records: Records, kind: str, thread_id: str, change: Change) -> bool:
    """Change each record of a kind; False where one was changed meanwhile."""
    is_done, after = True, None
    while True:
        page = await records.page(kind, thread_id, order="asc", after=after, limit=AT_ONCE)
        for record in page.records:
            write = await change(records, record)
            if write is None:
                continue
            try:
                await records.commit([write])
            except Conflict:
                is_done = False
        if not page.has_more:
            return is_done
        after = page.records[-1].id


async def _without_prompt(records: Records, record: Record) -> Write | None:
    kept = step_extra(record)
    if not kept.prompt:
        return None
    return Replace(
        kind="step",
        id=record.id,
        version=record.version,
        extra=encode_extra(replace(kept, prompt=b"")),
        shape=STEP_SHAPE,
    )


async def _without_texts(records: Records, record: Record) -> Write | None:
    """What was told, with nothing in messages that are not there any more."""
    if _TOLD_OF_MESSAGES not in record.body:
        return None
    entries = _entries(record.body)
    kept = [await _without_text(records, entry) for entry in entries]
    if all(now is before for now, before in zip(kept, entries, strict=True)):
        return None
    return Replace(kind="run_event", id=record.id, version=record.version, body=encode(kept))


async def _without_text(records: Records, entry: Entry) -> Entry:
    if not entry.event.startswith("thread.message."):
        return entry
    message = _message(entry.data)
    is_bare = not message.content and not message.metadata and not message.attachments
    if is_bare or await records.get("message", message.id) is not None:
        return entry
    bare = replace(message, content=[], metadata={}, attachments=[])
    return replace(entry, data=msgspec.Raw(encode(bare)))
