"""The board of jobs: who does which here, and which waiting one is taken next."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import TYPE_CHECKING

from msgspec.structs import replace

from famulus.failpoints import failpoint
from famulus_jobs.desk import Desk, Place
from famulus_jobs.gates import Gates
from famulus_jobs.handing_back import HandingBack
from famulus_jobs.kinds import JobBody, decode_job, job_of, moved, new_job
from famulus_jobs.looking import Looking
from famulus_jobs.turns import fairly
from famulus_schemas.errors import Problem
from famulus_schemas.gauges import Values
from famulus_schemas.jobs import Gate, Handler, Job, Ticket, job_id
from famulus_schemas.ports import Emission, Events, EventsStopped, ListenerDropped
from famulus_schemas.records import (
    Conflict,
    Delete,
    Record,
    StoreUnavailable,
    SystemRecords,
    Unit,
)

if TYPE_CHECKING:
    from famulus.log import Log
    from famulus_jobs.settings import JobSettings

WAKE = Emission(name="wake", data=b"{}")
TOPIC = "jobs"


class Board:
    """The Jobs port of one process."""

    def __init__(
        self,
        worker: str,
        *,
        system: SystemRecords,
        events: Events,
        settings: JobSettings,
        now: Callable[[], int],
        log: Log,
        lease_held: Callable[[], Awaitable[None]],
    ) -> None:
        self.worker = worker
        self._system = system
        self._events = events
        self._settings = settings
        self._now = now
        self._log = log
        self._lease_held = lease_held
        self._desks: dict[str, Desk] = {}
        self._looking = Looking(system, settings)
        self.back = HandingBack(system, on_back=self.free, log=log)
        self._woken = asyncio.Event()
        self._is_closed = False
        self._may_wait = True
        """Whether the store may hold a waiting job that nobody here has looked at."""

    def at_work(self) -> Values:
        """How many of each kind are at work here."""
        return {(kind,): float(len(desk.tasks)) for kind, desk in self._desks.items()}

    def all_waiting(self) -> Values:
        """How many of each kind wait, as far as is known here."""
        return {(kind,): float(desk.waiting) for kind, desk in self._desks.items()}

    # --- for those who have jobs done ---------------------------------------------------------

    def handle(
        self, kind: str, handler: Handler, *, at_once_max: int, gates: Sequence[Gate] = ()
    ) -> None:
        """As Jobs.handle."""
        self._desks[kind] = Desk(
            handler, at_once_max, Gates(gates, on_left=self.free, log=self._log)
        )
        self.wake()

    async def let_go(self, kind: str, *, keep: Callable[[str, str], bool]) -> None:
        """As Jobs.let_go."""
        desk = self._desks.get(kind)
        if desk is None:
            return
        desk.is_closing = True
        self._tell_others()
        if not await self._has_others():
            return
        leaving = [task for (project, key, _), task in desk.tasks.items() if not keep(project, key)]
        for task in leaving:
            task.cancel()
        if leaving:
            await asyncio.wait(leaving)

    async def _has_others(self) -> bool:
        """Whether there is another process that could do what this one leaves."""
        if self._system.exclusive:
            return False
        return any(record.id != self.worker for record in await self._system.scan("worker"))

    async def withdraw(self, kind: str, *, grace_s: float) -> None:
        """As Jobs.withdraw."""
        desk = self._desks.pop(kind, None)
        if desk is None:
            return
        late: set[asyncio.Task[None]] = set()
        if desk.tasks:
            _, late = await asyncio.wait(list(desk.tasks.values()), timeout=grace_s)
        for task in late:
            task.cancel()
        if late:
            await asyncio.wait(late)
        await desk.gates.left()
        if late:
            self._tell_others()

    async def lease_held(self) -> None:
        """As Jobs.lease_held."""
        await self._lease_held()

    def room_for(self, kind: str) -> int:
        """As Jobs.room_for."""
        if self._is_closed or kind not in self._desks:
            return 0
        return self._desks[kind].room

    def waiting(self, kind: str) -> int:
        """As Jobs.waiting."""
        return self._desks[kind].waiting if kind in self._desks else 0

    async def overdue(self, kind: str, *, made_until: int) -> AsyncIterator[tuple[str, str]]:
        """As Jobs.overdue. They lie in the order in which they were made."""
        after = 0
        while found := await self._system.scan("job", where={"waiting": kind}, after_seq=after):
            for record in found:
                if record.created_at > made_until:
                    return
                yield record.project, decode_job(record.body).key
            after = found[-1].seq

    def enqueue(
        self,
        project: str,
        kind: str,
        key: str,
        *,
        priority: int = 0,
        waits: bool = False,
        principal: str = "",
        model: str = "",
    ) -> Ticket:
        """As Jobs.enqueue."""
        job = Job(
            project=project,
            kind=kind,
            key=key,
            attempt=1,
            fence=1,
            version=1,
            priority=priority,
            principal=principal,
            model=model,
        )
        is_mine = not waits and self._is_free(job)
        body = JobBody(
            kind=kind,
            key=key,
            state="leased" if is_mine else "waiting",
            worker=self.worker if is_mine else "",
            priority=priority,
            principal=principal,
            model=model,
        )
        unit = [new_job(project, body, now=self._now())]
        ticket = Ticket(kind=kind, unit=unit, job=job if is_mine else None)
        # Nobody says when it is committed, so that a place kept for it would never be free again.
        return ticket if waits else self._kept(ticket)

    def shelve(
        self,
        project: str,
        kind: str,
        key: str,
        *,
        priority: int = 0,
        principal: str = "",
        model: str = "",
    ) -> Unit:
        """As Jobs.shelve."""
        body = JobBody(
            kind=kind,
            key=key,
            state="parked",
            priority=priority,
            principal=principal,
            model=model,
        )
        return [new_job(project, body, now=self._now())]

    async def requeue(self, project: str, kind: str, key: str) -> Ticket:
        """As Jobs.requeue."""
        record = await self._system.of(project).get("job", job_id(kind, key))
        if record is None or decode_job(record.body).state != "parked":
            raise LookupError(f"there is no parked job {kind} {key}")
        job = job_of(record)
        is_mine = self._is_free(job)
        body = replace(
            decode_job(record.body),
            state="leased" if is_mine else "waiting",
            worker=self.worker if is_mine else "",
            attempt=1,
        )
        taken = replace(job, fence=job.fence + 1, version=job.version + 1, attempt=1)
        unit = [moved(job, body, fence=taken.fence)]
        return self._kept(Ticket(kind=kind, unit=unit, job=taken if is_mine else None))

    def _is_free(self, job: Job) -> bool:
        """Whether a job that comes now may begin here at once, without asking at a gate."""
        desk = self._desks.get(job.kind)
        return (
            not self._is_closed and desk is not None and desk.is_free and not desk.gates.mind(job)
        )

    def _kept(self, ticket: Ticket) -> Ticket:
        desk = self._desks.get(ticket.kind)
        return ticket if desk is None else desk.keep(ticket)

    def started(self, ticket: Ticket) -> None:
        """As Jobs.started."""
        failpoint("job_started")
        desk = self._desks.get(ticket.kind)
        if desk is not None:
            desk.settle(ticket)
        if ticket.job is not None:
            self._begin_or_hand_back(ticket.job)
            return
        if desk is not None:
            desk.one_waits()
        self.wake()
        self._tell_others()

    def give_back(self, ticket: Ticket) -> None:
        """As Jobs.give_back."""
        desk = self._desks.get(ticket.kind)
        if desk is not None:
            desk.settle(ticket)
            self._look_again()

    def finish(self, job: Job) -> Unit:
        """As Jobs.finish."""
        return [job.guard(), Delete(kind="job", id=job_id(job.kind, job.key))]

    def park(self, job: Job) -> Unit:
        """As Jobs.park."""
        body = JobBody(
            kind=job.kind,
            key=job.key,
            state="parked",
            priority=job.priority,
            principal=job.principal,
            model=job.model,
        )
        return [moved(job, body, fence=job.fence)]

    async def discard(self, project: str, kind: str, key: str) -> Unit | None:
        """As Jobs.discard."""
        record = await self._system.of(project).get("job", job_id(kind, key))
        if record is None or decode_job(record.body).state == "leased":
            return None
        return [Delete(kind="job", id=record.id, version=record.version)]

    # --- doing --------------------------------------------------------------------------------

    def _begin_or_hand_back(self, job: Job) -> None:
        """Begin a job that is this worker's, unless its kind was withdrawn meanwhile."""
        desk = self._desks.get(job.kind)
        if desk is not None and not self._is_closed:
            self._begin(desk, job)
            return
        if desk is not None:
            desk.gates.leave(job)
        self.back.soon(job)

    def _begin(self, desk: Desk, job: Job) -> None:
        task = asyncio.create_task(self._do(desk, job), name=f"job {job.kind} {job.key}")
        place = (job.project, job.key, job.fence)
        desk.tasks[place] = task
        task.add_done_callback(lambda _: self._over(desk, place, job))

    def _over(self, desk: Desk, place: Place, job: Job) -> None:
        desk.tasks.pop(place, None)
        if not desk.gates.leave(job):
            self._look_again()

    def _look_again(self) -> None:
        """There is more room than there was: somebody may wait for it."""
        if self._may_wait:
            self._woken.set()

    async def _do(self, desk: Desk, job: Job) -> None:
        attempts = 1
        try:
            await desk.handler(job)
        except asyncio.CancelledError:
            await self.back.settle(job, attempts=0, after_s=0.0)
            return
        except StoreUnavailable as error:
            # Not the job's fault: it is tried for as long as that takes.
            attempts = 0
            self._log.error("job_interrupted", kind=job.kind, key=job.key, reason=str(error))
        except Exception as error:  # Isolation: one handler's bug must not stop the others.
            self._log.error("job_failed", kind=job.kind, key=job.key, exc_info=error)
        # Nothing is left to put back of a job that was finished, parked, or taken over.
        retry_s = self._settings.retry_s
        while not await self.back.settle(job, attempts=attempts, after_s=retry_s):
            await asyncio.sleep(retry_s)

    def holds(self, record: Record) -> bool:
        """Whether a job that names this worker is at work here."""
        job = job_of(record)
        desk = self._desks.get(job.kind)
        return desk is not None and (job.project, job.key, job.fence) in desk.tasks

    def close(self) -> None:
        """Cancel everything at work and take nothing more: the lease is lost, others have it."""
        self._is_closed = True
        for desk in self._desks.values():
            for task in desk.tasks.values():
                task.cancel()

    # --- taking -------------------------------------------------------------------------------

    def wake(self) -> None:
        """Look for waiting jobs soon."""
        self._may_wait = True
        self._woken.set()

    def free(self) -> None:
        """Jobs that somebody had wait again: here or elsewhere there may be room for them."""
        self.wake()
        self._tell_others()

    def _tell_others(self) -> None:
        self._events.publish("system", TOPIC, [WAKE])

    async def take(self) -> None:
        """Take waiting jobs until closed: when woken, and every `poll_s`."""
        while not self._is_closed:
            try:
                async with asyncio.timeout(self._settings.poll_s):
                    await self._woken.wait()
            except TimeoutError:
                pass
            self._woken.clear()
            try:
                await self._take_all()
            except StoreUnavailable as error:
                self._may_wait = True
                self._log.warning("jobs_not_taken", reason=str(error))

    async def hear_others(self) -> None:
        """Look for jobs when another process says that there are some."""
        while True:
            try:
                async with self._events.subscribe("system", TOPIC) as listener:
                    async for _ in listener:
                        self.wake()
            except EventsStopped:
                return
            except ListenerDropped:
                # What was missed is found by looking.
                self.wake()
            except Problem:
                # Until there is room to listen, it only looks.
                await asyncio.sleep(self._settings.poll_s)

    async def _take_all(self) -> None:
        self._may_wait = False
        for kind in list(self._desks):
            desk = self._desks[kind]
            if self.room_for(kind) <= 0:
                self._may_wait = True
                if not desk.is_count_due(self._settings.poll_s):
                    continue
            waiting, is_all = await self._looking.waiting(kind, desk)
            if self._desks.get(kind) is not desk:
                continue
            room = max(0, self.room_for(kind))
            seen = len(waiting)
            if desk.gates:
                waiting = await self._let_in(desk, waiting, room)
                if self._desks.get(kind) is not desk:
                    self._send_back(desk, waiting)
                    continue
                # Others may have begun while it was asked.
                room = max(0, self.room_for(kind))
                self._send_back(desk, waiting[room:])
            chosen = fairly(waiting[:room] if desk.gates else waiting, turns=desk.turns, limit=room)
            if seen > len(chosen) or not is_all:
                self._may_wait = True
            if is_all:
                desk.count(seen - len(chosen))
            else:
                desk.some_go(len(chosen))
            await self._take(desk, chosen)

    async def _let_in(self, desk: Desk, records: Sequence[Record], room: int) -> list[Record]:
        """Those that may begin, so many at most; whose like was kept out is not asked about."""
        let_in: list[Record] = []
        full: set[tuple[str, str, str]] = set()
        desk.kept_out = 0
        for record in fairly(records, turns=desk.turns.copy(), limit=len(records)):
            if len(let_in) >= room:
                break
            job = taken_from(record)
            alike = (job.project, job.principal, job.model)
            if alike not in full and await desk.gates.enter(job):
                let_in.append(record)
            else:
                full.add(alike)
                desk.kept_out += 1
        return let_in

    def _send_back(self, desk: Desk, records: Sequence[Record]) -> None:
        """These do not begin although they were let in."""
        for record in records:
            desk.gates.leave(taken_from(record))

    async def _take(self, desk: Desk, records: Sequence[Record]) -> None:
        """Take these; their places are kept from now on, so that none who comes has them first."""
        desk.kept += len(records)
        left = deque(records)
        try:
            while left:
                taken = await self._taken(left[0])
                record = left.popleft()
                desk.kept -= 1
                if taken is not None and not desk.is_closing:
                    self._begin_or_hand_back(taken)
                    continue
                self._send_back(desk, [record])
                if taken is not None:
                    self.back.soon(taken)
                else:
                    self._look_again()
        finally:
            desk.kept -= len(left)
            self._send_back(desk, list(left))

    async def _taken(self, record: Record) -> Job | None:
        """A waiting job made this worker's; None where another was faster."""
        body = replace(decode_job(record.body), state="leased", worker=self.worker)
        taken = taken_from(record)
        failpoint("job_take_before_commit")
        try:
            await self._system.of(record.project).commit(
                [moved(job_of(record), body, fence=taken.fence)]
            )
        except Conflict:
            return None
        failpoint("job_taken")
        return taken


def taken_from(record: Record) -> Job:
    """A waiting job as it is once a worker has taken it."""
    job = job_of(record)
    return replace(job, fence=job.fence + 1, version=job.version + 1)
