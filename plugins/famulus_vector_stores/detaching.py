"""Files that leave a store, and stores that go: at once for clients, their chunks soon after.

The record of a file carries the guard of its chunks: from the commit on in which it goes, no
chunk of it can be written any more, and a job removes those that were.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from famulus.failpoints import failpoint
from famulus_schemas.jobs import Job, Jobs, Ticket
from famulus_schemas.records import (
    Clear,
    Conflict,
    Delete,
    Record,
    RecordStore,
    Unit,
    Write,
)
from famulus_schemas.retrieval import Vectors
from famulus_vector_stores.chunks import CHUNKS_PER_SEGMENT, Chunks, clears
from famulus_vector_stores.kinds import decode_file, decode_file_extra, file_key
from famulus_vector_stores.ledger import Ledger
from famulus_vector_stores.membership import left, stores_of

CLEAR_DOCUMENT = "vector_stores.clear_document"
"""The kind of job that removes the chunks of a document, which is its key."""
CLEAR_STORE = "vector_stores.clear_store"
"""The kind of job that removes all chunks of a store; of one that is deleted, which is its key,
also what says which files it had. Of one that has expired the key is `expired_key`."""
FILES_AT_ONCE = 100


def expired_key(store_id: str) -> str:
    """The key of the job that removes the chunks of a store that has expired."""
    return f"{store_id}/expired"


class Gone(msgspec.Struct, frozen=True, kw_only=True):
    """The writes by which something goes, and the jobs that remove the rest."""

    unit: Unit
    tickets: Sequence[Ticket] = ()


class Detaching:
    """Makes the writes by which files leave stores, and does the jobs that clear up."""

    def __init__(
        self, *, records: RecordStore, jobs: Jobs, chunks: Chunks, vectors: Vectors
    ) -> None:
        self._records = records
        self._jobs = jobs
        self._chunks = chunks
        self._vectors = vectors

    async def file(
        self,
        project: str,
        record: Record,
        ledger: Ledger | None,
        *,
        keeps_membership: bool = False,
    ) -> Gone:
        """The writes by which a file leaves a store, whose ledger is told."""
        file, extra = decode_file(record.body), decode_file_extra(record.extra)
        if ledger is not None:
            ledger.moved(file.status, None, batch=extra.batch, size=-file.usage_bytes)
        writes: list[Write] = [
            Delete(kind="vector_store_file", id=record.id, version=record.version)
        ]
        if not keeps_membership:
            records = self._records.of(project)
            writes += await left(records, file.id, file.vector_store_id)
        rest = self.document(project, record)
        return Gone(unit=[*writes, *rest.unit], tickets=rest.tickets)

    def document(self, project: str, record: Record) -> Gone:
        """The writes by which the chunks of a file go: at once if they are few."""
        file, extra = decode_file(record.body), decode_file_extra(record.extra)
        if file.status in ("failed", "cancelled"):
            # They went as it ended so, or a job for them came with that.
            return Gone(unit=[])
        if file.status == "completed" and extra.chunks <= CHUNKS_PER_SEGMENT:
            return Gone(unit=clears(extra.document, extra.chunks))
        ticket = self._jobs.enqueue(project, CLEAR_DOCUMENT, extra.document, waits=True)
        return Gone(unit=ticket.unit, tickets=[ticket])

    def store(self, project: str, record: Record) -> Gone:
        """The writes by which a store goes."""
        ticket = self._jobs.enqueue(project, CLEAR_STORE, record.id, waits=True)
        return Gone(
            unit=[
                Delete(kind="vector_store", id=record.id, version=record.version),
                *ticket.unit,
            ],
            tickets=[ticket],
        )

    async def everywhere(self, project: str, file_id: str, *, now: int) -> Unit:
        """The writes by which a file that is deleted leaves every store."""
        records = self._records.of(project)
        stores, writes = await stores_of(records, file_id)
        unit = list(writes)
        for store_id in stores:
            record = await records.get("vector_store_file", file_key(store_id, file_id))
            if record is None:
                continue
            store = await records.get("vector_store", store_id)
            ledger = None if store is None else Ledger(store, now=now)
            gone = await self.file(project, record, ledger, keeps_membership=True)
            unit += gone.unit
            if ledger is not None:
                unit += await ledger.writes(records)
        return unit

    # --- jobs ---------------------------------------------------------------------------------

    async def clear_document(self, job: Job) -> None:
        """Remove the chunks of a document that has left its store."""
        records = self._records.of(job.project)
        try:
            await self._chunks.clear(job.project, job.key, guards=[job.guard()])
            await records.commit(self._jobs.finish(job))
        except Conflict:
            # Another worker has taken the job over.
            return

    async def clear_store(self, job: Job) -> None:
        """Remove the chunks of all files of a store, and all else of one that is deleted."""
        records = self._records.of(job.project)
        store_id, _, is_expired = job.key.partition("/")
        is_deleted = not is_expired
        try:
            after: str | None = None
            while True:
                page = await records.page(
                    "vector_store_file", store_id, order="asc", after=after, limit=FILES_AT_ONCE
                )
                for record in page.records:
                    await self._clear_file(job, record, is_deleted=is_deleted)
                if not page.has_more:
                    break
                after = page.records[-1].id
            unit: list[Write] = [*self._jobs.finish(job)]
            if is_deleted:
                unit += [
                    Clear(kind="vector_store_file", parent=store_id),
                    Clear(kind="vector_store_batch", parent=store_id),
                ]
            await records.commit(unit)
        except Conflict as conflict:
            if conflict.kind == "job":
                return
            # A file left, or was read to its end, meanwhile: it is looked at again.
            raise
        # Said here, too: whoever deleted it may have died before it could, and nobody says that
        # one has expired.
        await self._vectors.changed(job.project, store_id)

    async def _clear_file(self, job: Job, record: Record, *, is_deleted: bool) -> None:
        records = self._records.of(job.project)
        file, extra = decode_file(record.body), decode_file_extra(record.extra)
        await self._chunks.clear(job.project, extra.document, guards=[job.guard()])
        if not is_deleted:
            return
        member = await left(records, file.id, file.vector_store_id)
        failpoint("store_clear_before_commit")
        await records.commit(
            [
                job.guard(),
                Delete(kind="vector_store_file", id=record.id, version=record.version),
                *member,
            ]
        )
        failpoint("store_cleared")
