"""Files and uploads that end: by a client or by time, with all that must follow from it.

The record goes in one unit with the keys of its blobs and the job that removes them. So a file
that is gone is gone at once and for good, and its content is removed by whoever is there.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING

from famulus.failpoints import failpoint
from famulus_files.contents import Contents
from famulus_files.kinds import decode_file_extra, decode_keys, encode
from famulus_schemas.errors import NO_SUCH_FILE, TOO_BUSY, Problem
from famulus_schemas.identity import Principal
from famulus_schemas.jobs import Job, Jobs, Ticket
from famulus_schemas.records import Clear, Conflict, Delete, Insert, Record, RecordStore, Unit

if TYPE_CHECKING:
    from famulus.log import Log

JOB = "files.remove"
"""The kind of job that removes blobs."""
DELETE_ATTEMPTS_MAX = 16
"""What others keep of a file changes only so often while the file is being deleted."""

Joined = Callable[[Principal, str, Unit], Awaitable[Unit]]


class Removal:
    """Deletes files, and the blobs of what is gone."""

    def __init__(
        self,
        *,
        records: RecordStore,
        contents: Contents,
        jobs: Jobs,
        joined: Joined,
        now: Callable[[], int],
        log: Log,
    ) -> None:
        self._records = records
        self._contents = contents
        self._jobs = jobs
        self._joined = joined
        self._now = now
        self._log = log

    async def delete(self, principal: Principal, record: Record, *, unneeded: Unit = ()) -> bool:
        """Delete a file; False where one of these guards refuses it.

        Raises Problem (404) where somebody else was first.
        """
        project, id = principal.project, record.id
        keys = [piece.key for piece in decode_file_extra(record.extra).pieces]
        doom, ticket = self.doom(project, id, keys)
        unit: Unit = [
            *unneeded,
            Delete(kind="file", id=id),
            Clear(kind="file_piece", parent=id),
            *doom,
        ]
        for _ in range(DELETE_ATTEMPTS_MAX):
            joined = await self._joined(principal, "files.delete", unit)
            failpoint("file_delete_before_commit")
            try:
                await self._records.of(project).commit(joined)
            except Conflict as conflict:
                if conflict.kind == "file" and conflict.id == id:
                    raise Problem(NO_SUCH_FILE, param="id", id=id) from conflict
                if conflict.write in unneeded:
                    return False
                # What others keep of it has changed: they must look again.
                continue
            failpoint("file_deleted")
            self._jobs.started(ticket)
            return True
        raise Problem(TOO_BUSY, reason=f"file {id} is being changed by many. Try again.")

    def doom(self, project: str, id: str, keys: Sequence[str]) -> tuple[Unit, Ticket]:
        """The writes that have blobs removed, and the job that does it, once it is committed."""
        # It waits for whoever has room: others may have joined jobs that must be found, too.
        ticket = self._jobs.enqueue(project, JOB, id, waits=True)
        insert = Insert(
            kind="doomed_blobs", id=id, parent=id, created_at=self._now(), body=encode(keys)
        )
        return [insert, *ticket.unit], ticket

    async def do(self, job: Job) -> None:
        """Remove the blobs of a job."""
        records = self._records.of(job.project)
        record = await records.get("doomed_blobs", job.key)
        keys = () if record is None else decode_keys(record.body)
        for key in keys:
            await self._contents.remove(job.project, key)
            failpoint("blob_removed")
        # Not Delete, which would leave a tombstone for each file that ever was.
        unit = [*self._jobs.finish(job), Clear(kind="doomed_blobs", parent=job.key)]
        try:
            await records.commit(unit)
        except Conflict:
            self._log.info("job_gone", key=job.key)
