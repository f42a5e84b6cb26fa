"""The board of jobs: who does which here, and which waiting one is taken next."""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import AsyncIterator, Callable, Sequence
from typing import TYPE_CHECKING

from msgspec.structs import replace

from famulus.failpoints import failpoint
from famulus_jobs.kinds import JobBody, decode_job, job_of, lane, lane_of, moved, new_job
from famulus_schemas.errors import Problem
from famulus_schemas.gauges import Values
from famulus_schemas.jobs import Handler, Job, Ticket, job_id
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
LANES_AT_ONCE = 4
"""Lanes that are looked at in one go, where more wait than can be looked at."""
COUNT_PAGE = 1_000
TURNS_MAX = 10_000
"""Projects whose last turn is remembered."""


Place = tuple[str, str, int]
"""Project, key and fence of a job: it may come again while what it was before is still ending."""


class _Desk:
    """One kind of job that is done here."""

    def __init__(self, handler: Handler, at_once_max: int) -> None:
        self.handler = handler
        self.at_once_max = at_once_max
        self.is_closing = False
        """Whether it takes no more."""
        self.tasks: dict[Place, asyncio.Task[None]] = {}
        self.kept = 0
        """Places for jobs that are about to be this worker's: what they begin with is written."""
        self.tickets: dict[int, Ticket] = {}
        """Those that were neither started nor given back, by their identity."""
        self.coming = 0
        """How many of them will have to wait."""
        self.turns = Turns()
        self.looks = 0
        """Lanes that were looked at so far."""
        self._waiting = 0
        self._counted = 0.0

    @property
    def waiting(self) -> int:
        """Jobs that wait or are about to, as far as is known."""
        return self._waiting + self.coming

    @property
    def room(self) -> int:
        """How many more could begin at once."""
        if self.is_closing:
            return 0
        return self.at_once_max - len(self.tasks) - self.kept

    @property
    def is_free(self) -> bool:
        """Whether one that comes now may begin at once: there is room, and nobody was earlier."""
        return self.room > 0 and self.waiting == 0

    def is_count_due(self, after_s: float) -> bool:
        """Whether others may have taken what waits since it was counted, if anything does."""
        return self._waiting > 0 and asyncio.get_running_loop().time() - self._counted >= after_s

    def count(self, waiting: int) -> None:
        """Note how many wait."""
        self._waiting = waiting
        self._counted = asyncio.get_running_loop().time()

    def one_waits(self) -> None:
        """Note that there is one more."""
        self._waiting += 1

    def some_go(self, taken: int) -> None:
        """Note that there are so many less, of more than were counted."""
        self._waiting = max(0, self._waiting - taken)

    def keep(self, ticket: Ticket) -> Ticket:
        """Keep the ticket's place until it is settled."""
        self.tickets[id(ticket)] = ticket
        if ticket.job is not None:
            self.kept += 1
        else:
            self.coming += 1
        return ticket

    def settle(self, ticket: Ticket) -> None:
        """Keep it no longer."""
        if self.tickets.pop(id(ticket), None) is None:
            return
        if ticket.job is not None:
            self.kept -= 1
        else:
            self.coming -= 1


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
    ) -> None:
        self.worker = worker
        self._system = system
        self._events = events
        self._settings = settings
        self._now = now
        self._log = log
        self._desks: dict[str, _Desk] = {}
        self._returning: set[asyncio.Task[bool]] = set()
        """Hand-backs of jobs that came too late to be begun here."""
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

    def handle(self, kind: str, handler: Handler, *, at_once_max: int) -> None:
        """As Jobs.handle."""
        self._desks[kind] = _Desk(handler, at_once_max)
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
        if desk is None or not desk.tasks:
            return
        _, late = await asyncio.wait(list(desk.tasks.values()), timeout=grace_s)
        for task in late:
            task.cancel()
        if late:
            await asyncio.wait(late)
            self._tell_others()

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
        self, project: str, kind: str, key: str, *, priority: int = 0, waits: bool = False
    ) -> Ticket:
        """As Jobs.enqueue."""
        is_mine = not waits and self._is_free(kind)
        body = JobBody(
            kind=kind,
            key=key,
            state="leased" if is_mine else "waiting",
            worker=self.worker if is_mine else "",
            priority=priority,
        )
        job = Job(
            project=project, kind=kind, key=key, attempt=1, fence=1, version=1, priority=priority
        )
        unit = [new_job(project, body, now=self._now())]
        ticket = Ticket(kind=kind, unit=unit, job=job if is_mine else None)
        # Nobody says when it is committed, so that a place kept for it would never be free again.
        return ticket if waits else self._kept(ticket)

    def shelve(self, project: str, kind: str, key: str, *, priority: int = 0) -> Unit:
        """As Jobs.shelve."""
        body = JobBody(kind=kind, key=key, state="parked", priority=priority)
        return [new_job(project, body, now=self._now())]

    async def requeue(self, project: str, kind: str, key: str) -> Ticket:
        """As Jobs.requeue."""
        record = await self._system.of(project).get("job", job_id(kind, key))
        if record is None or decode_job(record.body).state != "parked":
            raise LookupError(f"there is no parked job {kind} {key}")
        is_mine = self._is_free(kind)
        body = replace(
            decode_job(record.body),
            state="leased" if is_mine else "waiting",
            worker=self.worker if is_mine else "",
            attempt=1,
        )
        job = job_of(record)
        taken = replace(job, fence=job.fence + 1, version=job.version + 1, attempt=1)
        unit = [moved(job, body, fence=taken.fence)]
        return self._kept(Ticket(kind=kind, unit=unit, job=taken if is_mine else None))

    def _is_free(self, kind: str) -> bool:
        return not self._is_closed and kind in self._desks and self._desks[kind].is_free

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
        body = JobBody(kind=job.kind, key=job.key, state="parked", priority=job.priority)
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
        else:
            self._hand_back(job)

    def _hand_back(self, job: Job) -> None:
        task = asyncio.create_task(self._try_to_put_back(job, attempts=0, after_s=0.0))
        self._returning.add(task)
        task.add_done_callback(self._returning.discard)

    async def returned(self) -> None:
        """Wait until jobs that came too late to be begun here are handed back."""
        await asyncio.gather(*self._returning)

    def _begin(self, desk: _Desk, job: Job) -> None:
        task = asyncio.create_task(self._do(desk, job), name=f"job {job.kind} {job.key}")
        place = (job.project, job.key, job.fence)
        desk.tasks[place] = task
        task.add_done_callback(lambda _: self._over(desk, place))

    def _over(self, desk: _Desk, place: Place) -> None:
        desk.tasks.pop(place, None)
        self._look_again()

    def _look_again(self) -> None:
        """There is more room than there was: somebody may wait for it."""
        if self._may_wait:
            self._woken.set()

    async def _do(self, desk: _Desk, job: Job) -> None:
        attempts = 1
        try:
            await desk.handler(job)
        except asyncio.CancelledError:
            await self._try_to_put_back(job, attempts=0, after_s=0.0)
            return
        except StoreUnavailable as error:
            # Not the job's fault: it is tried for as long as that takes.
            attempts = 0
            self._log.error("job_interrupted", kind=job.kind, key=job.key, reason=str(error))
        except Exception as error:  # Isolation: one handler's bug must not stop the others.
            self._log.error("job_failed", kind=job.kind, key=job.key, exc_info=error)
        # Nothing is left to put back of a job that was finished, parked, or taken over.
        retry_s = self._settings.retry_s
        while not await self._try_to_put_back(job, attempts=attempts, after_s=retry_s):
            await asyncio.sleep(retry_s)

    async def _try_to_put_back(self, job: Job, *, attempts: int, after_s: float) -> bool:
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
        self.free()

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
            waiting, is_all = await self._waiting(kind, desk)
            if self._desks.get(kind) is not desk:
                continue
            room = max(0, self.room_for(kind))
            left = max(0, len(waiting) - room)
            if left or not is_all:
                self._may_wait = True
            if is_all:
                desk.count(left)
            else:
                desk.some_go(min(room, len(waiting)))
            await self._take(desk, fairly(waiting, turns=desk.turns, limit=room))

    async def _waiting(self, kind: str, desk: _Desk) -> tuple[Sequence[Record], bool]:
        """Waiting jobs, the oldest among them, and whether these are all.

        Where they are not, one project may have filled the front: then the urgent ones are looked
        at too, and of the others some lanes by turns, so that each project's come into sight.
        """
        scan_max = self._settings.scan_max
        oldest = await self._system.scan("job", where={"waiting": kind}, limit=scan_max)
        if len(oldest) < scan_max:
            return oldest, True
        if desk.is_count_due(self._settings.poll_s):
            desk.count(await self._count(kind))
        found = {(record.project, record.id): record for record in oldest}
        lanes = [lane_of(kind, "", -1)]
        lanes += [lane(kind, desk.looks + more) for more in range(LANES_AT_ONCE)]
        desk.looks += LANES_AT_ONCE
        for each in lanes:
            for record in await self._system.scan("job", where={"lane": each}, limit=scan_max):
                found.setdefault((record.project, record.id), record)
        return list(found.values()), False

    async def _count(self, kind: str) -> int:
        """How many jobs wait."""
        count = after = 0
        while page := await self._system.scan(
            "job", where={"waiting": kind}, after_seq=after, limit=COUNT_PAGE
        ):
            count, after = count + len(page), page[-1].seq
        return count

    async def _take(self, desk: _Desk, records: Sequence[Record]) -> None:
        """Take these; their places are kept from now on, so that none who comes has them first."""
        desk.kept += len(records)
        left = len(records)
        try:
            for record in records:
                taken = await self._taken(record)
                desk.kept -= 1
                left -= 1
                if taken is not None and desk.is_closing:
                    self._hand_back(taken)
                elif taken is not None:
                    self._begin_or_hand_back(taken)
                else:
                    self._look_again()
        finally:
            desk.kept -= left

    async def _taken(self, record: Record) -> Job | None:
        """A waiting job made this worker's; None where another was faster."""
        job = job_of(record)
        body = replace(decode_job(record.body), state="leased", worker=self.worker)
        taken = replace(job, fence=job.fence + 1, version=job.version + 1)
        failpoint("job_take_before_commit")
        try:
            await self._system.of(job.project).commit([moved(job, body, fence=taken.fence)])
        except Conflict:
            return None
        failpoint("job_taken")
        return taken


class Turns:
    """Which project had its turn when."""

    def __init__(self) -> None:
        self._last: OrderedDict[str, int] = OrderedDict()
        self._count = 0

    def of(self, project: str) -> int:
        """The number of its last turn; 0 where that is long ago."""
        return self._last.get(project, 0)

    def take(self, project: str) -> None:
        """It is its turn."""
        self._count += 1
        self._last[project] = self._count
        self._last.move_to_end(project)
        if len(self._last) > TURNS_MAX:
            self._last.popitem(last=False)


def fairly(records: Sequence[Record], *, turns: Turns, limit: int) -> list[Record]:
    """The first so many: by priority, and within it of the project whose turn was longest ago."""
    by_priority: dict[int, dict[str, deque[Record]]] = {}
    for record in sorted(records, key=lambda record: record.seq):
        projects = by_priority.setdefault(decode_job(record.body).priority, {})
        projects.setdefault(record.project, deque()).append(record)
    ordered: list[Record] = []
    for _, projects in sorted(by_priority.items()):
        while projects and len(ordered) < limit:
            # Of those that have waited equally long for a turn, the oldest job's comes first.
            project = min(projects, key=lambda each: (turns.of(each), projects[each][0].seq))
            turns.take(project)
            ordered.append(projects[project].popleft())
            if not projects[project]:
                del projects[project]
    return ordered
