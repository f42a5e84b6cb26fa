"""Operations of messages: create, list, retrieve, modify and delete."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from msgspec import UNSET
from msgspec.structs import replace

from famulus import Call, Problem, Wire, found, list_page, missing, modify, operation
from famulus.failpoints import failpoint
from famulus.resources import require_files, while_stores_change
from famulus_schemas.errors import NOT_FOUND, THREAD_LOCKED, TOO_BUSY
from famulus_schemas.lists import ListPage, MessageDeleted
from famulus_schemas.messages import (
    CreateMessage,
    Message,
    MessageListQuery,
    ModifyMessage,
    files_of,
)
from famulus_schemas.ports import Occupancy
from famulus_schemas.records import Conflict, Delete, Record, Replace, Unit
from famulus_schemas.threads import OnBusy
from famulus_threads.kinds import decode_message, encode, insert_message
from famulus_threads.occupancy import is_free, is_there, occupancy_of, unchanged
from famulus_threads.on_busy import on_busy

if TYPE_CHECKING:
    from famulus_threads.plugin import ThreadsPlugin

CREATE_ATTEMPTS_MAX = 128
"""A thread that was free, or whose runs have changed, once it had refused a message, is no reason
to refuse it; of many who line up for it at once, one comes in each time."""


class MessageOperations:
    """What clients may do with the messages of a thread."""

    def __init__(self, plugin: ThreadsPlugin) -> None:
        self._plugin = plugin

    @operation("POST", "/v1/threads/{thread_id}/messages", action="threads.write")
    async def create_message(
        self, call: Call, thread_id: str, body: CreateMessage
    ) -> Wire[Message]:
        """Add a message to a thread; refused while a run is active on it.

        With the header `X-Famulus-On-Busy: queue` it follows on the runs that are not over, and
        with `cancel` those are cancelled for it.
        """
        plugin = self._plugin
        wanted = on_busy(call.headers, plugin.settings.on_busy)
        message = plugin.maker.message(body, thread_id=thread_id, now=plugin.now())
        await require_files(plugin.files, call.project, files_of(body))
        data = encode(message)
        failpoint("message_create_before_commit")
        await while_stores_change(partial(self._commit, call, body, message, data, wanted))
        failpoint("message_created")
        return Wire(data)

    async def _commit(
        self, call: Call, body: CreateMessage, message: Message, data: bytes, wanted: OnBusy
    ) -> None:
        """Add a message as soon as its thread lets it. Raises Problem where it does not."""
        plugin, records = self._plugin, self._plugin.records.of(call.project)
        thread_id = message.thread_id
        attached = await plugin.service.attach(
            call.project, thread_id, [body], named="", by=call.principal
        )
        behind: Occupancy | None = None
        for _ in range(CREATE_ATTEMPTS_MAX):
            joined = await plugin.joined(
                call.principal, "messages.create", [*_adding(message, data, behind), *attached]
            )
            try:
                await records.commit(joined)
            except Conflict as conflict:
                if conflict.kind == "thread" and conflict.reason == "missing":
                    raise Problem(NOT_FOUND, thing="thread", id=thread_id) from conflict
                if conflict.kind != "active_run":
                    raise
                behind = await self._behind(call, thread_id, wanted)
            else:
                return
        raise Problem(TOO_BUSY, reason=f"thread {thread_id} has many runs in turn. Try again.")

    async def _behind(self, call: Call, thread_id: str, wanted: OnBusy) -> Occupancy | None:
        """Behind whom a message may be posted to a thread that was not free; None if it is now."""
        occupancy = await occupancy_of(self._plugin.records.of(call.project), thread_id)
        if occupancy is None or wanted == "queue":
            return occupancy
        tenant = self._plugin.house.tenant
        if wanted == "refuse" or tenant is None:
            raise Problem(THREAD_LOCKED, thread=thread_id, run=occupancy.run)
        await tenant.evict(call.project, thread_id)
        return None

    @operation("GET", "/v1/threads/{thread_id}/messages", action="threads.read")
    async def list_messages(
        self, call: Call, thread_id: str, query: MessageListQuery
    ) -> Wire[ListPage[Message]]:
        """List the messages of a thread, perhaps only those that one run wrote."""
        records = self._plugin.records.of(call.project)
        await found(records, "thread", thread_id, thing="thread")
        where = {} if query.run_id is None else {"run": query.run_id}
        return await list_page(records, "message", thread_id, query=query, where=where)

    @operation("GET", "/v1/threads/{thread_id}/messages/{message_id}", action="threads.read")
    async def retrieve_message(self, call: Call, thread_id: str, message_id: str) -> Wire[Message]:
        """Retrieve a message."""
        return Wire((await self._found(call, thread_id, message_id)).body)

    @operation("POST", "/v1/threads/{thread_id}/messages/{message_id}", action="threads.write")
    async def modify_message(
        self, call: Call, thread_id: str, message_id: str, body: ModifyMessage
    ) -> Wire[Message]:
        """Change a message's metadata."""
        data = await modify(
            self._plugin.records.of(call.project),
            "message",
            message_id,
            thing="message",
            parent=thread_id,
            change=partial(_changed, body),
            join=partial(self._plugin.joined, call.principal, "messages.modify"),
        )
        return Wire(data)

    @operation("DELETE", "/v1/threads/{thread_id}/messages/{message_id}", action="threads.write")
    async def delete_message(self, call: Call, thread_id: str, message_id: str) -> MessageDeleted:
        """Delete a message from its thread."""
        await self._found(call, thread_id, message_id)
        unit = [Delete(kind="message", id=message_id)]
        joined = await self._plugin.joined(call.principal, "messages.delete", unit)
        failpoint("message_delete_before_commit")
        try:
            await self._plugin.records.of(call.project).commit(joined)
        except Conflict as conflict:
            if conflict.kind == "message":
                raise missing("message", message_id) from conflict
            raise
        failpoint("message_deleted")
        return MessageDeleted(id=message_id)

    async def _found(self, call: Call, thread_id: str, message_id: str) -> Record:
        records = self._plugin.records.of(call.project)
        return await found(records, "message", message_id, thing="message", parent=thread_id)


def _adding(message: Message, data: bytes, behind: Occupancy | None) -> Unit:
    """The unit that adds a message to a free thread, or behind the runs that are not over."""
    if behind is None:
        return [*is_free(message.thread_id), insert_message(message, data)]
    return [
        is_there(message.thread_id),
        unchanged(behind),
        insert_message(message, data, behind=behind.runs),
    ]


def _changed(body: ModifyMessage, record: Record) -> Replace | None:
    if body.metadata is UNSET:
        return None
    message = replace(decode_message(record.body), metadata=body.metadata or {})
    return Replace(kind="message", id=record.id, version=record.version, body=encode(message))
