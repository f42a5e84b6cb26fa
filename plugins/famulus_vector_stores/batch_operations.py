"""Operations of file batches: many files added at once, watched, and called off."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from msgspec import UNSET
from msgspec.structs import replace

from famulus import Call, Problem, Wire, operation
from famulus.failpoints import failpoint
from famulus_schemas.errors import INVALID, MISSING_PARAMETER
from famulus_schemas.jobs import Ticket
from famulus_schemas.lists import ListPage
from famulus_schemas.records import Insert, Record, Replace, Unit, Write
from famulus_schemas.vector_stores import (
    CreateFileBatch,
    FileBatch,
    VectorStoreFile,
    VectorStoreFileListQuery,
    check_batch,
)
from famulus_vector_stores.attaching import (
    Wanted,
    hold_chunking,
    hold_count,
    wanted,
    wanted_ids,
)
from famulus_vector_stores.faults import BATCH_OVER, NO_BATCH
from famulus_vector_stores.kinds import (
    decode_batch,
    decode_file,
    decode_file_extra,
    encode,
    file_index,
)
from famulus_vector_stores.ledger import Ledger, with_moves
from famulus_vector_stores.lists import list_files

if TYPE_CHECKING:
    from famulus_vector_stores.plugin import VectorStoresPlugin

CANCELLED_AT_ONCE = 100
"""Files that are called off in one commit."""
_BATCHES = "/v1/vector_stores/{vector_store_id}/file_batches"


class BatchOperations:
    """What clients may do with file batches."""

    def __init__(self, plugin: VectorStoresPlugin) -> None:
        self._plugin = plugin

    @operation("POST", _BATCHES, action="vector_stores.write")
    async def create_file_batch(
        self, call: Call, vector_store_id: str, body: CreateFileBatch
    ) -> Wire[FileBatch]:
        """Add many files to a vector store at once; they are read in the background."""
        plugin = self._plugin
        files = self._wanted(body)
        await plugin.found(call.project, vector_store_id)
        plugin.rate.take(call.project, vector_store_id)
        plugin.tell_when_to_poll(call)
        id = plugin.new_id("vsfb_")
        started: Sequence[Ticket] = ()
        answer = b""

        async def plan(ledger: Ledger) -> Unit:
            nonlocal started, answer
            await plugin.attaching.require(call.project, files)
            unit, started = await plugin.attaching.add(
                call.project, ledger, files, batch=id, by=call.principal
            )
            ledger.used()
            batch = FileBatch(id=id, created_at=ledger.now, vector_store_id=vector_store_id)
            answer = encode(with_moves(batch, ledger.moves.pop(id, [])))
            call.answer = answer
            failpoint("store_batch_create_before_commit")
            insert = Insert(
                kind="vector_store_batch",
                id=id,
                parent=vector_store_id,
                created_at=ledger.now,
                body=answer,
            )
            return [insert, *unit]

        await plugin.shelf.change(
            call.project,
            vector_store_id,
            plan,
            join=partial(plugin.joined, call.principal, "vector_stores.add_files"),
        )
        failpoint("store_batch_created")
        plugin.start(started)
        return Wire(answer)

    def _wanted(self, body: CreateFileBatch) -> list[Wanted]:
        """The files of a batch. Raises Problem where it names none, or in two ways."""
        limit = self._plugin.settings.files_per_batch_max
        fault = check_batch(body)
        if fault == "missing":
            raise Problem(MISSING_PARAMETER, param="file_ids", name="file_ids")
        if fault == "both":
            reason = "it may not be given together with file_ids."
            raise Problem(INVALID, param="files", name="files", reason=reason)
        if body.files is not UNSET:
            hold_count(body.files, limit, name="files")
            return wanted(body.files, named="files[{}].")
        assert body.file_ids is not UNSET
        hold_count(body.file_ids, limit, name="file_ids")
        hold_chunking(body.chunking_strategy)
        return wanted_ids(body.file_ids, body.chunking_strategy, body.attributes)

    @operation("GET", _BATCHES + "/{batch_id}", action="vector_stores.read")
    async def retrieve_file_batch(
        self, call: Call, vector_store_id: str, batch_id: str
    ) -> Wire[FileBatch]:
        """Retrieve a file batch."""
        self._plugin.tell_when_to_poll(call)
        return Wire((await self._found(call, vector_store_id, batch_id)).body)

    @operation("POST", _BATCHES + "/{batch_id}/cancel", action="vector_stores.write")
    async def cancel_file_batch(
        self, call: Call, vector_store_id: str, batch_id: str
    ) -> Wire[FileBatch]:
        """Cancel a file batch: what is not finished by then is not read any more."""
        plugin = self._plugin
        plugin.tell_when_to_poll(call)

        async def mark(ledger: Ledger) -> Unit | None:
            record = await self._found(call, vector_store_id, batch_id)
            batch = decode_batch(record.body)
            if batch.status == "cancelled":
                return None
            if batch.status != "in_progress":
                raise Problem(BATCH_OVER, status=batch.status)
            marked = encode(replace(batch, status="cancelled"))
            return [
                Replace(
                    kind="vector_store_batch",
                    id=batch_id,
                    version=record.version,
                    body=marked,
                )
            ]

        await plugin.shelf.change(
            call.project,
            vector_store_id,
            mark,
            join=partial(plugin.joined, call.principal, "vector_stores.cancel_files"),
        )
        failpoint("store_batch_marked")
        # In a task of its own: what it commits is no part of what the request is to commit.
        await asyncio.create_task(self._call_off(call.project, vector_store_id, batch_id))
        return Wire((await self._found(call, vector_store_id, batch_id)).body)

    async def _call_off(self, project: str, store_id: str, batch_id: str) -> None:
        """Have all files of a cancelled batch be cancelled that are not finished.

        Where this ends early, each is called off once it is its turn to be read.
        """
        plugin, more = self._plugin, True
        records = plugin.records.of(project)
        while more:
            started: Sequence[Ticket] = ()

            async def plan(ledger: Ledger) -> Unit | None:
                nonlocal more, started
                page = await records.page(
                    "vector_store_file",
                    store_id,
                    where={"batch": batch_id, "status": "in_progress"},
                    limit=CANCELLED_AT_ONCE,
                )
                more = page.has_more
                if not page.records:
                    return None
                unit: list[Write] = []
                tickets: list[Ticket] = []
                for record in page.records:
                    rest = plugin.detaching.document(project, record)
                    unit += [_cancelled(record, ledger), *rest.unit]
                    tickets += rest.tickets
                started = tickets
                return unit

            await plugin.shelf.change(project, store_id, plan)
            failpoint("store_batch_called_off")
            plugin.start(started)

    @operation("GET", _BATCHES + "/{batch_id}/files", action="vector_stores.read")
    async def list_files_in_batch(
        self, call: Call, vector_store_id: str, batch_id: str, query: VectorStoreFileListQuery
    ) -> Wire[ListPage[VectorStoreFile]]:
        """List the files of a batch that are in the store, perhaps only those of one status."""
        await self._found(call, vector_store_id, batch_id)
        return await list_files(
            self._plugin.records.of(call.project),
            vector_store_id,
            query,
            where={"batch": batch_id},
        )

    async def _found(self, call: Call, vector_store_id: str, batch_id: str) -> Record:
        plugin = self._plugin
        await plugin.found(call.project, vector_store_id)
        record = await plugin.records.of(call.project).get("vector_store_batch", batch_id)
        if record is None or record.parent != vector_store_id:
            raise Problem(NO_BATCH, id=batch_id, store=vector_store_id)
        return record


def _cancelled(record: Record, ledger: Ledger) -> Write:
    """The write by which a file is not read any more."""
    file, extra = decode_file(record.body), decode_file_extra(record.extra)
    ledger.moved("in_progress", "cancelled", batch=extra.batch)
    done = replace(file, status="cancelled")
    return Replace(
        kind="vector_store_file",
        id=record.id,
        version=record.version,
        fence=0,
        body=encode(done),
        index=file_index(done, extra),
    )
