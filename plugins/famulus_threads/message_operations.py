"""Operations of messages: create, list, retrieve, modify and delete."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from msgspec import UNSET
from msgspec.structs import replace

from famulus import Call, Problem, Wire, found, list_page, missing, modify, operation
from famulus.failpoints import failpoint
from famulus_schemas.errors import TOO_BUSY
from famulus_schemas.lists import ListPage, MessageDeleted
from famulus_schemas.messages import CreateMessage, Message, MessageListQuery, ModifyMessage
from famulus_schemas.records import Conflict, Delete, Record, Replace, Unit
from famulus_threads.kinds import decode_message, encode, insert_message
from famulus_threads.occupancy import is_free, refusal

if TYPE_CHECKING:
    from famulus_threads.plugin import ThreadsPlugin

CREATE_ATTEMPTS_MAX = 4
"""A run that is found to have ended, once it had refused a message, is no reason to refuse it."""


class MessageOperations:
    """What clients may do with the messages of a thread."""

    def __init__(self, plugin: ThreadsPlugin) -> None:
        self._plugin = plugin

    @operation("POST", "/v1/threads/{thread_id}/messages", action="threads.write")
    async def create_message(
        self, call: Call, thread_id: str, body: CreateMessage
    ) -> Wire[Message]:
        """Add a message to a thread; refused while a run is active on it."""
        plugin = self._plugin
        message = plugin.maker.message(body, thread_id=thread_id, now=plugin.now())
        data = encode(message)
        failpoint("message_create_before_commit")
        await self._commit_if_free(call, thread_id, [insert_message(message, data)])
        failpoint("message_created")
        return Wire(data)

    async def _commit_if_free(self, call: Call, thread_id: str, unit: Unit) -> None:
        plugin, records = self._plugin, self._plugin.records.of(call.project)
        unit = [*is_free(thread_id), *unit]
        for _ in range(CREATE_ATTEMPTS_MAX):
            joined = await plugin.joined(call.principal, "messages.create", unit)
            try:
                await records.commit(joined)
            except Conflict as conflict:
                if conflict.kind not in ("thread", "active_run"):
                    raise
                problem = await refusal(records, thread_id, conflict)
                if problem is not None:
                    raise problem from conflict
            else:
                return
        raise Problem(TOO_BUSY, reason=f"thread {thread_id} has many runs in turn. Try again.")

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


def _changed(body: ModifyMessage, record: Record) -> Replace | None:
    if body.metadata is UNSET:
        return None
    message = replace(decode_message(record.body), metadata=body.metadata or {})
    return Replace(kind="message", id=record.id, version=record.version, body=encode(message))
