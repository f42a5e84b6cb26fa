"""The worker's lease: one heartbeat a process, and the jobs of those whose heart has stopped."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from itertools import count
from typing import TYPE_CHECKING

from msgspec.structs import replace

from famulus.failpoints import failpoint
from famulus_jobs.kinds import SYSTEM, WorkerBody, decode_job, decode_worker, encode, job_of, moved
from famulus_schemas.records import (
    Conflict,
    Delete,
    Insert,
    Record,
    Replace,
    StoreUnavailable,
    SystemRecords,
)

if TYPE_CHECKING:
    from famulus.log import Log
    from famulus_jobs.settings import JobSettings

PAGE = 100


class Lease:
    """This process's worker, as the store knows it."""

    def __init__(
        self,
        worker: str,
        *,
        system: SystemRecords,
        settings: JobSettings,
        log: Log,
        holds: Callable[[Record], bool],
        on_lost: Callable[[], None],
        on_freed: Callable[[], None],
    ) -> None:
        self.worker = worker
        self._system = system
        self._records = system.of(SYSTEM)
        self._settings = settings
        self._log = log
        self._holds = holds
        self._on_lost = on_lost
        self._on_freed = on_freed
        self._version = 1
        self._beaten_s = 0.0
        """When the newest beat that is on disk was begun, by this process's own clock."""
        self._beaten = asyncio.Event()
        self.taken_over = 0
        """Jobs of others that this process gave back to whoever has room."""
        self._unheld: set[tuple[str, str, int]] = set()
        """Jobs that name this worker, and that nobody here had when it last looked."""

    async def open(self) -> None:
        """Enter the worker, and take up what dead ones left."""
        began_s = asyncio.get_running_loop().time()
        now = await self._system.now()
        body = encode(WorkerBody(beat=now))
        insert = Insert(kind="worker", id=self.worker, created_at=int(now), body=body)
        await self._records.commit([insert])
        self._version = 1
        self._beaten_s = began_s
        failpoint("worker_entered")
        await self.bury()

    async def close(self) -> None:
        """Leave. Jobs that nobody handed back are freed first: without the worker none would."""
        try:
            await self._free_all(self.worker)
            failpoint("worker_leaving")
            await self._records.commit([Delete(kind="worker", id=self.worker)])
        except (Conflict, StoreUnavailable) as error:
            self._log.warning("worker_not_removed", worker=self.worker, reason=str(error))

    async def keep(self) -> None:
        """Beat until the lease is lost, and look after the others."""
        beats_per_sweep = max(1, round(self._settings.lease_s / self._settings.heartbeat_s))
        for beat in count(1):
            await asyncio.sleep(self._settings.heartbeat_s)
            try:
                if not await self._beat():
                    return
                await self.bury()
                if beat % beats_per_sweep == 0:
                    await self.sweep()
            except StoreUnavailable as error:
                # Others will take the jobs over; the fence keeps our late writes out.
                self._log.warning("heartbeat_failed", worker=self.worker, reason=str(error))

    async def _beat(self) -> bool:
        """Say that this process lives; whether the lease is still its own."""
        began_s = asyncio.get_running_loop().time()
        body = encode(WorkerBody(beat=await self._system.now()))
        beat = Replace(kind="worker", id=self.worker, version=self._version, body=body)
        failpoint("worker_beat_before_commit")
        try:
            await self._records.commit([beat])
        except Conflict:
            stored = await self._records.get("worker", self.worker)
            if stored is None:
                self._log.error("lease_lost", worker=self.worker)
                self._on_lost()
                return False
            # An earlier beat was written after all, although its answer was lost.
            self._version = stored.version
            return True
        self._version += 1
        self._beaten_s = began_s
        self._beaten.set()
        failpoint("worker_beat")
        return True

    async def held(self) -> None:
        """As Jobs.lease_held. A process that stood still waits for its next beat, or its end."""
        while not self._is_sure():
            self._beaten.clear()
            await self._beaten.wait()

    def _is_sure(self) -> bool:
        """Whether nobody can have taken this worker for dead yet."""
        if self._system.exclusive:
            return True
        # Begun before the store was asked for the time: ours runs out first.
        return asyncio.get_running_loop().time() - self._beaten_s < self._settings.lease_s

    async def bury(self) -> None:
        """Give the jobs of dead workers back to whoever has room."""
        now = await self._system.now()
        for record in await self._all("worker"):
            if record.id != self.worker and self._is_dead(record, now):
                await self._bury_one(record)

    def _is_dead(self, record: Record, now: float) -> bool:
        # Where no other process can have the store open, every other worker is a former one.
        if self._system.exclusive:
            return True
        return decode_worker(record.body).beat < now - self._settings.lease_s

    async def sweep(self) -> None:
        """Free jobs that nobody does although they name a worker.

        Either the worker is gone, and took the job while it was being buried; or it is this one,
        and the answer was lost when the job became its own.
        """
        # Jobs first: whoever had one of them by then is among the workers that are read next.
        jobs = await self._all("job", {"leased": "yes"})
        workers = {record.id for record in await self._all("worker")}
        unheld = set()
        freed = 0
        for record in jobs:
            worker = decode_job(record.body).worker
            if worker not in workers:
                freed += await self._free(record, attempts=1)
            elif worker == self.worker and not self._holds(record):
                seen = (record.project, record.id, record.fence)
                # One that is just being made is begun by the time of the next look.
                if seen in self._unheld:
                    freed += await self._free(record, attempts=0)
                else:
                    unheld.add(seen)
        self._unheld = unheld
        if freed:
            self._log.warning("jobs_found", jobs=freed)
            self._on_freed()

    async def _all(self, kind: str, where: Mapping[str, str] = {}) -> list[Record]:
        """Every record of a kind, in all projects."""
        found: list[Record] = []
        after = 0
        while page := await self._system.scan(kind, where=where, after_seq=after, limit=PAGE):
            found += page
            after = page[-1].seq
        return found

    async def _bury_one(self, dead: Record) -> None:
        freed = await self._free_all(dead.id)
        try:
            await self._records.commit([Delete(kind="worker", id=dead.id, version=dead.version)])
        except Conflict:
            return
        failpoint("worker_buried")
        self.taken_over += freed
        if freed:
            self._log.warning("worker_lost", worker=dead.id, jobs=freed)
            self._on_freed()

    async def _free_all(self, worker: str) -> int:
        """Free every job that names the worker; how many there were."""
        freed = 0
        while jobs := await self._system.scan("job", where={"worker": worker}, limit=PAGE):
            for record in jobs:
                freed += await self._free(record, attempts=1)
        return freed

    async def _free(self, record: Record, *, attempts: int) -> int:
        job, body = job_of(record), decode_job(record.body)
        freed = replace(body, state="waiting", worker="", attempt=body.attempt + attempts)
        failpoint("job_free_before_commit")
        try:
            await self._system.of(record.project).commit([moved(job, freed, fence=job.fence + 1)])
        except Conflict:
            return 0
        failpoint("job_freed")
        return 1
