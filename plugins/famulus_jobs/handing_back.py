"""Jobs that go back on the board: not begun, given up, or failed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from msgspec.structs import replace

from famulus.failpoints import failpoint
from famulus_jobs.kinds import decode_job, moved
from famulus_schemas.jobs import Job, job_id
from famulus_schemas.records import Conflict, StoreUnavailable, SystemRecords

if TYPE_CHECKING:
    from famulus.log import Log


class HandingBack:
    """Lets jobs wait again that this worker holds."""

    def __init__(self, system: SystemRecords, *, on_back: Callable[[], None], log: Log) -> None:
        self._system = system
        self._on_back = on_back
        self._log = log
        self._returning: set[asyncio.Task[bool]] = set()

    def soon(self, job: Job) -> None:
        """Hand back a job that came too late to be begun here; `returned` waits for it."""
        task = asyncio.create_task(self.settle(job, attempts=0, after_s=0.0))
        self._returning.add(task)
        task.add_done_callback(self._returning.discard)

    async def returned(self) -> None:
        """Wait until all such jobs are handed back."""
        await asyncio.gather(*self._returning)

    async def settle(self, job: Job, *, attempts: int, after_s: float) -> bool:
        """Hand back a job that its handler neither finished nor parked; whether that is settled."""
        try:
            await self._put_back(job, attempts=attempts, after_s=after_s)
        except Conflict:
            return True
        except StoreUnavailable as error:
            self._log.warning("job_not_handed_back", key=job.key, reason=str(error))
            return False
        return True

    async def _put_back(self, job: Job, *, attempts: int, after_s: float) -> None:
        record = await self._system.of(job.project).get("job", job_id(job.kind, job.key))
        if record is None or record.fence != job.fence:
            return
        body = decode_job(record.body)
        if body.state != "leased":
            return
        if after_s:
            await asyncio.sleep(after_s)
        waiting = replace(body, state="waiting", worker="", attempt=body.attempt + attempts)
        held = replace(job, version=record.version)
        failpoint("job_put_back_before_commit")
        await self._system.of(job.project).commit([moved(held, waiting, fence=job.fence + 1)])
        failpoint("job_put_back")
        self._on_back()
