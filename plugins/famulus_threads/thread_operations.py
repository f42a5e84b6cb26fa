"""Operations of threads: create, retrieve, modify and delete."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from msgspec import UNSET
from msgspec.structs import replace

from famulus import Call, Wire, found, modify, operation
from famulus.failpoints import failpoint
from famulus.resources import require_files, require_stores, while_stores_change
from famulus_schemas.lists import ThreadDeleted
from famulus_schemas.records import Record, Replace
from famulus_schemas.threads import CreateThread, ModifyThread, Thread
from famulus_schemas.tool_resources import named_files
from famulus_schemas.tools import ToolResources
from famulus_threads.kinds import decode_thread, encode
from famulus_threads.opening import opened

if TYPE_CHECKING:
    from famulus_threads.plugin import ThreadsPlugin


class ThreadOperations:
    """What clients may do with threads."""

    def __init__(self, plugin: ThreadsPlugin) -> None:
        self._plugin = plugin

    @operation("POST", "/v1/threads", action="threads.write")
    async def create_thread(self, call: Call, body: CreateThread | None) -> Wire[Thread]:
        """Create a thread, with the messages that it begins with."""
        data = await while_stores_change(partial(self._create, call, body or CreateThread()))
        failpoint("thread_created")
        return Wire(data)

    async def _create(self, call: Call, request: CreateThread) -> bytes:
        """Commit a new thread, with all that it begins with; its body."""
        plugin = self._plugin
        thread, unit = await opened(
            call.project,
            request,
            maker=plugin.maker,
            files=plugin.files,
            stores=plugin.stores,
            attachments_days=plugin.settings.attachments_days,
            now=plugin.now(),
            by=call.principal,
        )
        joined = await plugin.joined(call.principal, "threads.create", unit)
        failpoint("thread_create_before_commit")
        await plugin.records.of(call.project).commit(joined)
        return encode(thread)

    @operation("GET", "/v1/threads/{thread_id}", action="threads.read")
    async def retrieve_thread(self, call: Call, thread_id: str) -> Wire[Thread]:
        """Retrieve a thread."""
        records = self._plugin.records.of(call.project)
        return Wire((await found(records, "thread", thread_id, thing="thread")).body)

    @operation("POST", "/v1/threads/{thread_id}", action="threads.write")
    async def modify_thread(self, call: Call, thread_id: str, body: ModifyThread) -> Wire[Thread]:
        """Change a thread's metadata and tool resources."""
        await require_files(self._plugin.files, call.project, named_files(body.tool_resources))
        await require_stores(self._plugin.stores, call.project, body.tool_resources)
        data = await modify(
            self._plugin.records.of(call.project),
            "thread",
            thread_id,
            thing="thread",
            change=partial(_changed, body),
            join=partial(self._plugin.joined, call.principal, "threads.modify"),
        )
        return Wire(data)

    @operation("DELETE", "/v1/threads/{thread_id}", action="threads.write")
    async def delete_thread(self, call: Call, thread_id: str) -> ThreadDeleted:
        """Delete a thread, its messages, and all that other plugins keep under it."""
        await self._plugin.removal.delete(call.principal, thread_id)
        return ThreadDeleted(id=thread_id)


def _changed(body: ModifyThread, record: Record) -> Replace | None:
    if body == ModifyThread():
        return None
    thread = decode_thread(record.body)
    if body.metadata is not UNSET:
        thread = replace(thread, metadata=body.metadata or {})
    if body.tool_resources is not UNSET:
        thread = replace(thread, tool_resources=body.tool_resources or ToolResources())
    return Replace(kind="thread", id=record.id, version=record.version, body=encode(thread))
