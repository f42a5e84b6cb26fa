"""THREADS: threads and messages for the plugins that run assistants on them."""

from __future__ import annotations

from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Callable,
    Mapping,
    Sequence,
)
from contextlib import AbstractContextManager, aclosing

from msgspec.structs import replace

from famulus.resources import found
from famulus_schemas.identity import Principal
from famulus_schemas.messages import CreateMessage, Message, searchable_files
from famulus_schemas.ports import Files, Occupancy, Stores, Tenant
from famulus_schemas.records import Delete, Guard, Record, RecordStore, Replace, Unit, UnknownCursor
from famulus_schemas.threads import CreateThread, OnBusy, Thread
from famulus_threads.kinds import (
    decode_message,
    decode_thread,
    encode,
    insert_message,
)
from famulus_threads.making import Maker
from famulus_threads.occupancy import is_there, leave, line_up, occupancy_of, occupy, unchanged
from famulus_threads.on_busy import House, on_busy
from famulus_threads.opening import opened
from famulus_threads.order import Written, as_meant, extra_of
from famulus_threads.searchable import with_files
from famulus_threads.settings import ThreadsSettings


class ThreadService:
    """What `need(THREADS)` gives."""

    def __init__(
        self,
        records: RecordStore,
        maker: Maker,
        *,
        now: Callable[[], int],
        settings: ThreadsSettings,
        house: House,
        files: Files | None,
        stores: Stores | None,
    ) -> None:
        self._records = records
        self._maker = maker
        self._now = now
        self._settings = settings
        self._house = house
        self._files = files
        self._stores = stores

    async def get(self, project: str, thread_id: str) -> Thread:
        """The thread. Raises Problem (NOT_FOUND)."""
        record = await found(self._records.of(project), "thread", thread_id, thing="thread")
        return decode_thread(record.body)

    async def create(
        self,
        project: str,
        request: CreateThread,
        *,
        within: str = "",
        resources_within: str | None = None,
        run: str = "",
        by: Principal | None = None,
    ) -> tuple[Thread, Unit]:
        """A new thread with its first messages, and the writes that make it."""
        return await opened(
            project,
            request,
            maker=self._maker,
            files=self._files,
            stores=self._stores,
            attachments_days=self._settings.attachments_days,
            now=self._now(),
            within=within,
            resources_within=resources_within,
            run=run,
            by=by,
        )

    def append(
        self,
        thread_id: str,
        requests: Sequence[CreateMessage],
        *,
        named: str = "additional_messages",
        behind: Occupancy | None = None,
        run: str = "",
    ) -> tuple[Sequence[Message], Unit]:
        """New user or assistant messages at the end of a thread, and the writes that add them."""
        messages = self._maker.messages(requests, thread_id=thread_id, now=self._now(), named=named)
        if not messages:
            return [], []
        runs = behind.runs if behind is not None else ()
        return messages, [is_there(thread_id), *_inserts(messages, behind=runs, run=run)]

    async def attach(
        self,
        project: str,
        thread_id: str,
        requests: Sequence[CreateMessage],
        *,
        named: str = "additional_messages",
        by: Principal | None = None,
    ) -> Unit:
        """The writes that let files be searched that new messages attach for that."""
        files = searchable_files(requests, named=named)
        if self._stores is None or not files:
            return []
        record = await self._records.of(project).get("thread", thread_id)
        if record is None:
            return []
        stored = decode_thread(record.body)
        thread, unit = await with_files(
            self._stores, project, stored, files, days=self._settings.attachments_days, by=by
        )
        if thread == stored:
            return unit
        write = Replace(kind="thread", id=thread_id, version=record.version, body=encode(thread))
        return [write, *unit]

    def insert_message(self, message: Message) -> Unit:
        """The writes that add a message that a run is making."""
        return [is_there(message.thread_id), *_inserts([message])]

    async def replace_message(self, project: str, message: Message) -> Unit:
        """The writes that bring a stored message to this state, its metadata kept as stored."""
        stored = await self._message(project, message.thread_id, message.id)
        kept = replace(message, metadata=decode_message(stored.body).metadata)
        return [Replace(kind="message", id=message.id, version=stored.version, body=encode(kept))]

    async def written_with(self, project: str, thread_id: str, run_id: str) -> Unit:
        """The writes that delete the messages that a run wrote, and those created with it."""
        return [
            Delete(kind="message", id=each.message.id)
            async for each in self._written(project, thread_id)
            if run_id in (each.message.run_id, each.run)
        ]

    async def get_message(self, project: str, thread_id: str, message_id: str) -> Message:
        """One message. Raises Problem (NOT_FOUND)."""
        return decode_message((await self._message(project, thread_id, message_id)).body)

    async def history(
        self, project: str, thread_id: str, *, run_id: str = ""
    ) -> AsyncIterator[Message]:
        """The thread's messages as they are meant, newest first; see Threads.history."""
        held: list[Written] = []
        async with aclosing(self._written(project, thread_id)) as newest_first:
            async for one in newest_first:
                if run_id and (one.message.run_id == run_id or run_id in one.behind):
                    continue
                held.append(one)
                is_full = len(held) >= self._settings.history_messages_ordered_max
                if one.is_in_place or is_full:
                    for message in as_meant(held):
                        yield message
                    held = []
        for message in as_meant(held):
            yield message

    async def _written(self, project: str, thread_id: str) -> AsyncGenerator[Written, None]:
        """The thread's messages as they were written, newest first."""
        records = self._records.of(project)
        after: str | None = None
        while True:
            try:
                page = await records.page(
                    "message",
                    thread_id,
                    after=after,
                    limit=self._settings.history_messages_per_read,
                )
            except UnknownCursor:
                return
            for record in page.records:
                message = decode_message(record.body)
                kept = extra_of(record.extra)
                yield Written(message=message, behind=kept.behind, run=kept.run)
            if not page.has_more:
                return
            after = page.records[-1].id

    def occupy(self, thread_id: str, run_id: str) -> Unit:
        """The writes that make `run_id` the thread's one active run."""
        return occupy(thread_id, run_id, now=self._now())

    def line_up(self, occupancy: Occupancy, run_id: str) -> Unit:
        """The writes that let a run wait for the thread, behind all others."""
        return line_up(occupancy, run_id)

    def leave(self, occupancy: Occupancy, run_id: str) -> tuple[Unit, str | None]:
        """The writes by which a run gives up the thread or its place, and who has it then."""
        return leave(occupancy, run_id)

    def unchanged(self, occupancy: Occupancy) -> Guard:
        """Refuses a unit where the occupancy has changed since it was read."""
        return unchanged(occupancy)

    async def occupancy(self, project: str, thread_id: str) -> Occupancy | None:
        """Who has the thread and who waits for it, if anybody does."""
        return await occupancy_of(self._records.of(project), thread_id)

    def on_busy(self, headers: Mapping[str, str]) -> OnBusy:
        """What a request with these headers wants of a busy thread."""
        return on_busy(headers, self._settings.on_busy)

    def let_to(self, tenant: Tenant) -> AbstractContextManager[None]:
        """Have this tenant's runs be those that occupy threads."""
        return self._house.let_to(tenant)

    async def _message(self, project: str, thread_id: str, message_id: str) -> Record:
        records = self._records.of(project)
        return await found(records, "message", message_id, thing="message", parent=thread_id)


def _inserts(messages: Sequence[Message], *, behind: Sequence[str] = (), run: str = "") -> Unit:
    return [
        insert_message(message, encode(message), behind=behind, run=run) for message in messages
    ]
