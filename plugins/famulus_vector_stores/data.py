"""What of vector stores is old, whose it is, and which files they hold."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from famulus import Problem, missing
from famulus.failpoints import failpoint
from famulus_schemas.errors import TOO_BUSY
from famulus_schemas.identity import Principal
from famulus_schemas.jobs import Ticket
from famulus_schemas.records import Conflict, Record, Unit
from famulus_schemas.retention import DataKind, Idle, Removed
from famulus_vector_stores.chunks import file_of
from famulus_vector_stores.detaching import CLEAR_DOCUMENT, CLEAR_STORE
from famulus_vector_stores.kinds import CHUNKS, decode_file, decode_store
from famulus_vector_stores.ledger import Ledger
from famulus_vector_stores.membership import stores_of

if TYPE_CHECKING:
    from famulus_vector_stores.plugin import VectorStoresPlugin

COMMIT_ATTEMPTS_MAX = 16


class StoreData:
    """Deletes stores, and takes files out of them."""

    def __init__(self, plugin: VectorStoresPlugin) -> None:
        self._plugin = plugin

    async def delete(self, principal: Principal, store_id: str) -> None:
        """Delete a store; its files themselves stay. Raises Problem (404)."""
        for _ in range(COMMIT_ATTEMPTS_MAX):
            record = await self._plugin.found(principal.project, store_id)
            if await self._try(principal, record):
                return
        raise Problem(
            TOO_BUSY, reason=f"vector store {store_id} is being changed by many. Try again."
        )

    async def _try(self, principal: Principal, record: Record, guards: Unit = ()) -> bool:
        """Delete a store; False where it is another than it was. Raises Problem (404)."""
        plugin = self._plugin
        gone = plugin.detaching.store(principal.project, record)
        unit = [*guards, *gone.unit]
        joined = await plugin.joined(principal, "vector_stores.delete", unit)
        failpoint("store_delete_before_commit")
        try:
            await plugin.records.of(principal.project).commit(joined)
        except Conflict as conflict:
            if (conflict.kind, conflict.reason) == ("vector_store", "missing"):
                raise missing("vector store", record.id) from conflict
            return False
        failpoint("store_deleted")
        plugin.start(gone.tickets)
        await plugin.vectors.changed(principal.project, record.id)
        return True

    def kinds(self) -> list[DataKind]:
        """Stores, and files of stores for those whose attributes say whose they are."""
        jobs = (CLEAR_DOCUMENT, CLEAR_STORE)
        return [
            DataKind(
                name="vector_stores",
                kind="vector_store",
                age="since it was last searched or changed",
                last_used=_last_used,
                delete=self._delete_store,
                size=lambda record: decode_store(record.body).usage_bytes,
                named_by="metadata",
                is_part=True,
                jobs=jobs,
                holds=self._holds,
            ),
            DataKind(
                name="vector_store_files",
                kind="vector_store_file",
                delete=self._remove_file,
                named_by="attributes",
                jobs=jobs,
                parts={CHUNKS.name: file_of},
            ),
        ]

    async def _holds(self, project: str, kind: str, id: str) -> Unit | None:
        """Guards that a file comes into no store; None where it is in one."""
        if kind != "file":
            return []
        stores, guards = await stores_of(self._plugin.records.of(project), id)
        return None if stores else guards

    async def _delete_store(
        self, principal: Principal, record: Record, idle: Idle | None
    ) -> Removed | None:
        try:
            if idle is None:
                await self.delete(principal, record.id)
            elif not await self._try(principal, record, idle.unneeded):
                # Whoever uses or changes it writes its next version.
                return None
        except Problem as problem:
            if problem.status == 404:
                return None
            raise
        return Removed(bytes=decode_store(record.body).usage_bytes)

    async def _remove_file(
        self, principal: Principal, record: Record, idle: Idle | None
    ) -> Removed | None:
        plugin, project = self._plugin, principal.project
        file = decode_file(record.body)
        started: Sequence[Ticket] = ()

        async def plan(ledger: Ledger) -> Unit | None:
            nonlocal started
            found = await plugin.records.of(project).get("vector_store_file", record.id)
            if found is None:
                return None
            gone = await plugin.detaching.file(project, found, ledger)
            started = gone.tickets
            return gone.unit

        try:
            await plugin.shelf.change(project, file.vector_store_id, plan)
        except Problem as problem:
            if problem.status == 404:
                return None
            raise
        plugin.start(started)
        await plugin.vectors.changed(project, file.vector_store_id)
        return Removed(bytes=file.usage_bytes)


async def _last_used(record: Record) -> int | None:
    return decode_store(record.body).last_active_at or record.created_at
