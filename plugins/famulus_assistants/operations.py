"""Operations of assistants: create, list, retrieve, modify and delete."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from msgspec import UNSET

from famulus import Call, Wire, found, list_page, missing, modify, operation
from famulus.failpoints import failpoint
from famulus.resources import (
    require_files,
    require_stores,
    settle_resources,
    while_stores_change,
)
from famulus_assistants.forms import check_tools, created, insert, modified
from famulus_schemas.assistants import Assistant, CreateAssistant, ModifyAssistant
from famulus_schemas.lists import AssistantDeleted, ListPage
from famulus_schemas.records import Conflict, Delete
from famulus_schemas.tool_resources import named_files
from famulus_schemas.wire import ListQuery

if TYPE_CHECKING:
    from famulus_assistants.plugin import AssistantsPlugin


class AssistantOperations:
    """What clients may do with assistants."""

    def __init__(self, plugin: AssistantsPlugin) -> None:
        self._plugin = plugin

    @operation("POST", "/v1/assistants", action="assistants.write")
    async def create_assistant(self, call: Call, body: CreateAssistant) -> Wire[Assistant]:
        """Create an assistant."""
        plugin = self._plugin
        # The model is not looked up: old code names models that no longer exist, and a run
        # resolves them.
        check_tools(body.tools)
        await require_files(plugin.files, call.project, named_files(body.tool_resources))
        data = await while_stores_change(partial(self._create, call, body))
        failpoint("assistant_created")
        return Wire(data)

    async def _create(self, call: Call, body: CreateAssistant) -> bytes:
        """Commit a new assistant, with the store that it asks for; its body."""
        plugin = self._plugin
        resources, of_store = await settle_resources(
            plugin.stores, call.project, body.tool_resources, by=call.principal
        )
        assistant = created(body, resources, id=plugin.new_id("asst_"), now=plugin.now())
        write = insert(assistant, body)
        joined = await plugin.joined(call.principal, "assistants.create", [write, *of_store])
        failpoint("assistant_create_before_commit")
        await plugin.records.of(call.project).commit(joined)
        return write.body

    @operation("GET", "/v1/assistants", action="assistants.read")
    async def list_assistants(self, call: Call, query: ListQuery) -> Wire[ListPage[Assistant]]:
        """List the assistants."""
        return await list_page(self._plugin.records.of(call.project), "assistant", query=query)

    @operation("GET", "/v1/assistants/{assistant_id}", action="assistants.read")
    async def retrieve_assistant(self, call: Call, assistant_id: str) -> Wire[Assistant]:
        """Retrieve an assistant."""
        records = self._plugin.records.of(call.project)
        return Wire((await found(records, "assistant", assistant_id, thing="assistant")).body)

    @operation("POST", "/v1/assistants/{assistant_id}", action="assistants.write")
    async def modify_assistant(
        self, call: Call, assistant_id: str, body: ModifyAssistant
    ) -> Wire[Assistant]:
        """Change an assistant: what is absent stays, what is null is cleared."""
        if body.tools is not UNSET:
            check_tools(body.tools)
        await require_files(self._plugin.files, call.project, named_files(body.tool_resources))
        await require_stores(self._plugin.stores, call.project, body.tool_resources)
        data = await modify(
            self._plugin.records.of(call.project),
            "assistant",
            assistant_id,
            thing="assistant",
            change=lambda record: modified(record, body),
            join=partial(self._plugin.joined, call.principal, "assistants.modify"),
        )
        return Wire(data)

    @operation("DELETE", "/v1/assistants/{assistant_id}", action="assistants.write")
    async def delete_assistant(self, call: Call, assistant_id: str) -> AssistantDeleted:
        """Delete an assistant."""
        unit = [Delete(kind="assistant", id=assistant_id)]
        joined = await self._plugin.joined(call.principal, "assistants.delete", unit)
        failpoint("assistant_delete_before_commit")
        try:
            await self._plugin.records.of(call.project).commit(joined)
        except Conflict as conflict:
            if conflict.kind == "assistant":
                raise missing("assistant", assistant_id) from conflict
            raise
        failpoint("assistant_deleted")
        return AssistantDeleted(id=assistant_id)
