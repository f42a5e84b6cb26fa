"""THREADS: threads and messages for the plugins that run assistants on them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence

from msgspec.structs import replace

from famulus.resources import found
from famulus_schemas.messages import CreateMessage, Message
from famulus_schemas.records import Record, RecordStore, Replace, Unit, UnknownCursor
from famulus_schemas.threads import CreateThread, Thread
from famulus_threads import occupancy
from famulus_threads.kinds import (
    decode_message,
    decode_thread,
    encode,
    insert_message,
    insert_thread,
)
from famulus_threads.making import Maker


class ThreadService:
    """What `need(THREADS)` gives."""

    def __init__(
        self,
        records: RecordStore,
        maker: Maker,
        *,
        now: Callable[[], int],
        history_messages_per_read: int,
    ) -> None:
        self._records = records
        self._maker = maker
        self._now = now
        self._per_read = history_messages_per_read

    async def get(self, project: str, thread_id: str) -> Thread:
        """The thread. Raises Problem (NOT_FOUND)."""
        record = await found(self._records.of(project), "thread", thread_id, thing="thread")
        return decode_thread(record.body)

    async def create(
        self, project: str, request: CreateThread, *, within: str = ""
    ) -> tuple[Thread, Unit]:
        """A new thread with its first messages, and the writes that make it."""
        now = self._now()
        thread = self._maker.thread(request, now=now, within=within)
        messages = self._maker.messages(
            request.messages, thread_id=thread.id, now=now, named=f"{within}messages"
        )
        return thread, [insert_thread(thread, encode(thread)), *_inserts(messages)]

    def append(
        self,
        thread_id: str,
        requests: Sequence[CreateMessage],
        *,
        named: str = "additional_messages",
    ) -> tuple[Sequence[Message], Unit]:
        """New user or assistant messages at the end of a thread, and the writes that add them."""
        messages = self._maker.messages(requests, thread_id=thread_id, now=self._now(), named=named)
        if not messages:
            return [], []
        return messages, [occupancy.is_there(thread_id), *_inserts(messages)]

    def insert_message(self, message: Message) -> Unit:
        """The writes that add a message that a run is making."""
        return [occupancy.is_there(message.thread_id), *_inserts([message])]

    async def replace_message(self, project: str, message: Message) -> Unit:
        """The writes that bring a stored message to this state, its metadata kept as stored."""
        stored = await self._message(project, message.thread_id, message.id)
        kept = replace(message, metadata=decode_message(stored.body).metadata)
        return [Replace(kind="message", id=message.id, version=stored.version, body=encode(kept))]

    async def get_message(self, project: str, thread_id: str, message_id: str) -> Message:
        """One message. Raises Problem (NOT_FOUND)."""
        return decode_message((await self._message(project, thread_id, message_id)).body)

    async def history(self, project: str, thread_id: str) -> AsyncIterator[Message]:
        """The thread's messages, newest first, read page by page as they are asked for.

        Ends where the thread is deleted meanwhile.
        """
        records = self._records.of(project)
        after: str | None = None
        while True:
            try:
                page = await records.page("message", thread_id, after=after, limit=self._per_read)
            except UnknownCursor:
                return
            for record in page.records:
                yield decode_message(record.body)
            if not page.has_more:
                return
            after = page.records[-1].id

    def occupy(self, thread_id: str, run_id: str) -> Unit:
        """The writes that make `run_id` the thread's one active run."""
        return occupancy.occupy(thread_id, run_id, now=self._now())

    def vacate(self, thread_id: str) -> Unit:
        """The writes that end the thread's occupation; never refused."""
        return occupancy.vacate(thread_id)

    async def occupant(self, project: str, thread_id: str) -> str | None:
        """The thread's active run, if it has one."""
        return await occupancy.occupant(self._records.of(project), thread_id)

    async def _message(self, project: str, thread_id: str, message_id: str) -> Record:
        records = self._records.of(project)
        return await found(records, "message", message_id, thing="message", parent=thread_id)


def _inserts(messages: Sequence[Message]) -> Unit:
    return [insert_message(message, encode(message)) for message in messages]
