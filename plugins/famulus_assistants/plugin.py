"""The plugin: the operations of assistants, and ASSISTANTS for those who run them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from famulus import NoSettings, Operation, Plugin, found, hookimpl, need, operations, want
from famulus_assistants.forms import ASSISTANT, full
from famulus_assistants.operations import AssistantOperations
from famulus_schemas.assistants import FullAssistant
from famulus_schemas.identity import Principal
from famulus_schemas.ports import ASSISTANTS, FILES, RECORDS, STORES
from famulus_schemas.records import Conflict, Delete, Record, RecordStore
from famulus_schemas.retention import Data, DataKind, Idle, Removed


class AssistantService:
    """What `need(ASSISTANTS)` gives."""

    def __init__(self, records: RecordStore) -> None:
        self._records = records

    async def get(self, project: str, assistant_id: str) -> FullAssistant:
        """The assistant. Raises Problem (NOT_FOUND)."""
        records = self._records.of(project)
        return full(await found(records, "assistant", assistant_id, thing="assistant"))


class AssistantsPlugin(Plugin[NoSettings]):
    """Serves assistants, and provides ASSISTANTS."""

    name = "assistants"
    provides = (ASSISTANTS,)
    records = need(RECORDS)
    files = want(FILES)
    stores = want(STORES)

    @asynccontextmanager
    async def lifespan(self) -> AsyncIterator[None]:
        """Declare the kind of record, and provide the port."""
        await self.records.declare(ASSISTANT)
        self.provide(ASSISTANTS, AssistantService(self.records))
        yield

    @hookimpl
    def register_operations(self) -> list[Operation]:
        """Assistants."""
        return operations(AssistantOperations(self))

    @hookimpl
    def register_data_kinds(self) -> list[Data]:
        """Assistants, which have no age: they are what an application is made of."""
        return [
            DataKind(
                name="assistants",
                kind="assistant",
                delete=self._delete,
                named_by="metadata",
                names_only=("assistant",),
            )
        ]

    async def _delete(
        self, principal: Principal, record: Record, idle: Idle | None
    ) -> Removed | None:
        unit = [Delete(kind="assistant", id=record.id)]
        joined = await self.joined(principal, "assistants.delete", unit)
        try:
            await self.records.of(principal.project).commit(joined)
        except Conflict:
            return None
        return Removed()
