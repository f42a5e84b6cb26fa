"""Jobs: done once they were promised, by one worker at a time, whatever happens to workers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from famulus import NoSettings, Plugin, need
from famulus.testing import kernel_with
from famulus_jobs.kinds import JobBody, encode
from famulus_jobs.turns import Turns, fairly
from famulus_schemas.jobs import Job, Jobs, given_back_unless_done
from famulus_schemas.ports import JOBS, RECORDS
from famulus_schemas.records import Conflict, Delete, Record, RecordStore


class Desk(Plugin[NoSettings]):
    """Reaches the ports for a test."""

    name = "desk"
    jobs = need(JOBS)
    records = need(RECORDS)
    system = need(RECORDS.system)


class Office:
    """A server with jobs, and what its handler was given."""

    def __init__(self, desk: Desk) -> None:
        self.jobs: Jobs = desk.jobs
        self.records: RecordStore = desk.records
        self.system = desk.system
        self.given: list[Job] = []
        self.go_on = asyncio.Event()
        self.go_on.set()
        self._more = asyncio.Event()

    async def do(self, job: Job) -> None:
        """Notes the job, waits for `go_on`, and finishes it."""
        self.given.append(job)
        self._more.set()
        await self.go_on.wait()
        await self.records.of(job.project).commit(self.jobs.finish(job))

    async def promise(self, key: str, *, project: str = "p", priority: int = 0) -> None:
        """Enqueue a job, commit it, and say so."""
        ticket = self.jobs.enqueue(project, "work", key, priority=priority)
        await self.records.of(project).commit(ticket.unit)
        self.jobs.started(ticket)

    async def got(self, count: int) -> list[Job]:
        """What the handler was given, once it is that much."""
        async with asyncio.timeout(20):
            while len(self.given) < count:
                self._more.clear()
                await self._more.wait()
        return self.given

    async def left(self) -> list[Record]:
        """All jobs that are not finished."""
        return list(await self.system.scan("job"))

    async def has_room(self) -> None:
        """Return once there is room for one more; that is soon after a job is finished."""
        async with asyncio.timeout(20):
            while self.jobs.room_for("work") == 0:
                await asyncio.sleep(0.005)

    async def none_left(self) -> None:
        """Return once every job is finished."""
        async with asyncio.timeout(20):
            while await self.left():
                await asyncio.sleep(0.005)


@pytest.fixture
def open_office(tmp_path: Path) -> Callable[..., Any]:
    @asynccontextmanager
    async def opened(**arguments: Any) -> AsyncIterator[Office]:
        settings = {"jobs": {"poll_s": 0.02, "retry_s": 0.01, **arguments.pop("jobs", {})}}
        async with kernel_with(
            "sqlite", "events", "jobs", Desk, settings=settings, data_dir=tmp_path, **arguments
        ) as server:
            yield Office(server.plugin("desk"))

    return opened


async def test_a_promised_job_is_done_once(open_office: Any) -> None:
    async with open_office() as office:
        office.jobs.handle("work", office.do, at_once_max=4)
        await office.promise("a")
        (job,) = await office.got(1)
        assert (job.project, job.key, job.attempt) == ("p", "a", 1)
        await office.none_left()
        assert len(office.given) == 1


async def test_a_job_that_is_shelved_is_done_once_it_is_requeued(open_office: Any) -> None:
    async with open_office() as office:
        office.jobs.handle("work", office.do, at_once_max=4)
        await office.records.of("p").commit(office.jobs.shelve("p", "work", "a"))
        await office.promise("b")
        assert [job.key for job in await office.got(1)] == ["b"]
        ticket = await office.jobs.requeue("p", "work", "a")
        await office.records.of("p").commit(ticket.unit)
        office.jobs.started(ticket)
        assert [job.key for job in await office.got(2)] == ["b", "a"]
        await office.none_left()


async def test_a_shelved_job_can_be_discarded(open_office: Any) -> None:
    async with open_office() as office:
        office.jobs.handle("work", office.do, at_once_max=4)
        records = office.records.of("p")
        await records.commit(office.jobs.shelve("p", "work", "a"))
        discarded = await office.jobs.discard("p", "work", "a")
        assert discarded is not None
        await records.commit(discarded)
        with pytest.raises(LookupError):
            await office.jobs.requeue("p", "work", "a")
        assert await office.left() == []


async def test_a_job_of_a_refused_unit_is_never_done(open_office: Any) -> None:
    async with open_office() as office:
        office.jobs.handle("work", office.do, at_once_max=4)
        ticket = office.jobs.enqueue("p", "work", "a")
        with pytest.raises(Conflict):
            await office.records.of("p").commit([*ticket.unit, Delete(kind="job", id="missing")])
        await office.promise("b")
        assert [job.key for job in await office.got(1)] == ["b"]


async def test_a_job_that_waits_is_found_with_another_that_is_started(open_office: Any) -> None:
    async with open_office() as office:
        office.jobs.handle("work", office.do, at_once_max=4)
        joined = office.jobs.enqueue("p", "work", "a", waits=True)
        ticket = office.jobs.enqueue("p", "work", "b", waits=True)
        assert joined.job is None
        assert ticket.job is None
        await office.records.of("p").commit([*joined.unit, *ticket.unit])
        office.jobs.started(ticket)
        assert sorted(job.key for job in await office.got(2)) == ["a", "b"]
        await office.none_left()


async def test_no_more_are_done_at_once_than_there_is_room_for(open_office: Any) -> None:
    async with open_office() as office:
        office.go_on.clear()
        office.jobs.handle("work", office.do, at_once_max=3)
        for n in range(10):
            await office.promise(str(n))
        await office.got(3)
        await asyncio.sleep(0.1)
        assert len(office.given) == 3
        office.go_on.set()
        await office.none_left()
        assert len(office.given) == 10


async def test_of_many_promised_at_once_no_more_begin_than_there_is_room_for(
    open_office: Any,
) -> None:
    async with open_office() as office:
        office.go_on.clear()
        office.jobs.handle("work", office.do, at_once_max=3)
        await asyncio.gather(*(office.promise(str(n)) for n in range(50)))
        await asyncio.sleep(0.1)
        assert len(office.given) == 3
        assert office.jobs.waiting("work") == 47
        office.go_on.set()
        await office.none_left()
        assert sorted(int(job.key) for job in office.given) == list(range(50))


async def test_a_place_is_free_again_where_its_ticket_is_given_back(open_office: Any) -> None:
    async with open_office() as office:
        office.jobs.handle("work", office.do, at_once_max=2)
        tickets = [office.jobs.enqueue("p", "work", key) for key in "abc"]
        assert [ticket.job is not None for ticket in tickets] == [True, True, False]
        assert (office.jobs.room_for("work"), office.jobs.waiting("work")) == (0, 1)
        for ticket in tickets:
            office.jobs.give_back(ticket)
            office.jobs.give_back(ticket)
        assert (office.jobs.room_for("work"), office.jobs.waiting("work")) == (2, 0)


async def test_a_place_is_free_again_where_the_commit_is_refused_or_given_up(
    open_office: Any,
) -> None:
    async with open_office() as office:
        office.jobs.handle("work", office.do, at_once_max=1)
        for error in (Conflict(Delete(kind="job", id="x"), "missing"), asyncio.CancelledError()):
            ticket = office.jobs.enqueue("p", "work", "a")
            with pytest.raises(type(error)), given_back_unless_done(office.jobs, ticket):
                raise error
            assert office.jobs.room_for("work") == 1
        ticket = office.jobs.enqueue("p", "work", "a")
        with given_back_unless_done(office.jobs, ticket):
            await office.records.of("p").commit(ticket.unit)
        office.jobs.started(ticket)
        office.jobs.give_back(ticket)
        await office.none_left()
        assert [job.key for job in office.given] == ["a"]
        await office.has_room()
        assert office.jobs.room_for("work") == 1


async def test_who_comes_later_does_not_go_before_those_who_wait(open_office: Any) -> None:
    async with open_office() as office:
        office.go_on.clear()
        office.jobs.handle("work", office.do, at_once_max=1)
        await asyncio.gather(*(office.promise(str(n)) for n in range(4)))
        await office.got(1)
        before = office.given[0].key

        async def come_when_there_is_room() -> None:
            while office.jobs.room_for("work") <= 0:
                await asyncio.sleep(0)
            await office.promise("late")

        coming = asyncio.create_task(come_when_there_is_room())
        office.go_on.set()
        await office.got(5)
        await coming
        await office.none_left()
        assert before == "0"
        assert [job.key for job in office.given] == ["0", "1", "2", "3", "late"]


async def test_the_more_urgent_of_many_that_come_at_once_goes_first(open_office: Any) -> None:
    async with open_office() as office:
        office.go_on.clear()
        office.jobs.handle("work", office.do, at_once_max=1)
        await office.promise("first")
        coming = [office.promise(f"{n}", priority=n) for n in (3, 1, 2)]
        await asyncio.gather(*coming)
        office.go_on.set()
        await office.none_left()
        assert [job.key for job in office.given] == ["first", "1", "2", "3"]


async def test_a_job_that_comes_while_its_kind_is_withdrawn_is_handed_back(
    open_office: Any,
) -> None:
    async with open_office() as office:
        office.jobs.handle("work", office.do, at_once_max=1)
        ticket = office.jobs.enqueue("p", "work", "a")
        await office.records.of("p").commit(ticket.unit)
        await office.jobs.withdraw("work", grace_s=0.0)
        office.jobs.started(ticket)
        office.jobs.handle("work", office.do, at_once_max=1)
        (job,) = await office.got(1)
        assert (job.key, job.attempt) == ("a", 1)
        await office.none_left()


async def test_a_job_that_was_promised_before_a_stop_is_done_after_it(open_office: Any) -> None:
    async with open_office() as office:
        await office.promise("a")
    async with open_office() as office:
        office.jobs.handle("work", office.do, at_once_max=4)
        assert [job.key for job in await office.got(1)] == ["a"]


async def test_a_stopping_worker_hands_back_without_counting_an_attempt(open_office: Any) -> None:
    async with open_office() as office:
        office.go_on.clear()
        office.jobs.handle("work", office.do, at_once_max=4)
        await office.promise("a")
        (first,) = await office.got(1)
        await office.jobs.withdraw("work", grace_s=0.0)
    async with open_office() as office:
        office.jobs.handle("work", office.do, at_once_max=4)
        (second,) = await office.got(1)
        assert second.attempt == first.attempt
        assert second.fence > first.fence


async def test_a_worker_that_was_given_up_cannot_write_any_more(open_office: Any) -> None:
    async with open_office() as office:
        office.go_on.clear()
        office.jobs.handle("work", office.do, at_once_max=4)
        await office.promise("a")
        (zombie,) = await office.got(1)
        await office.jobs.withdraw("work", grace_s=0.0)
        office.go_on.set()
        office.jobs.handle("work", office.do, at_once_max=4)
        await office.got(2)
        await office.none_left()
        with pytest.raises(Conflict):
            await office.records.of("p").commit([zombie.guard()])
        with pytest.raises(Conflict):
            await office.records.of("p").commit(office.jobs.finish(zombie))


async def test_jobs_of_a_worker_that_died_are_taken_over_with_one_attempt_more(
    open_office: Any,
) -> None:
    class Dies(Exception):
        pass

    with pytest.raises(Dies):
        async with open_office() as office:
            office.go_on.clear()
            office.jobs.handle("work", office.do, at_once_max=4)
            await office.promise("a")
            await office.got(1)
            # The heart stops: nothing is handed back, and nothing is said.
            office.jobs.back._put_back = _nothing
            office.jobs.withdraw = _nothing
            raise Dies
    async with open_office() as office:
        office.jobs.handle("work", office.do, at_once_max=4)
        (job,) = await office.got(1)
        assert (job.key, job.attempt) == ("a", 2)


async def _nothing(*args: Any, **kwargs: Any) -> None:
    """Instead of what a dead process does not do."""


async def test_a_job_whose_handler_fails_is_tried_again(open_office: Any) -> None:
    async with open_office() as office:
        tries: list[int] = []

        async def stumble(job: Job) -> None:
            tries.append(job.attempt)
            if len(tries) < 3:
                raise RuntimeError("not yet")
            await office.records.of(job.project).commit(office.jobs.finish(job))

        office.jobs.handle("work", stumble, at_once_max=4)
        await office.promise("a")
        await office.none_left()
        assert tries == [1, 2, 3]


async def test_a_parked_job_rests_until_it_is_requeued(open_office: Any) -> None:
    async with open_office() as office:
        parked = asyncio.Event()

        async def park(job: Job) -> None:
            office.given.append(job)
            if len(office.given) == 1:
                await office.records.of(job.project).commit(office.jobs.park(job))
                parked.set()
            else:
                await office.records.of(job.project).commit(office.jobs.finish(job))

        office.jobs.handle("work", park, at_once_max=4)
        await office.promise("a")
        await parked.wait()
        await asyncio.sleep(0.1)
        assert len(office.given) == 1
        ticket = await office.jobs.requeue("p", "work", "a")
        await office.records.of("p").commit(ticket.unit)
        office.jobs.started(ticket)
        await office.none_left()
        first, second = office.given
        assert second.fence > first.fence


async def test_only_a_parked_job_can_be_requeued(open_office: Any) -> None:
    async with open_office() as office:
        await office.promise("a")
        for key in ("a", "unknown"):
            with pytest.raises(LookupError):
                await office.jobs.requeue("p", "work", key)


async def test_a_job_that_waits_can_be_discarded_and_one_at_work_cannot(open_office: Any) -> None:
    async with open_office() as office:
        await office.promise("a")
        unit = await office.jobs.discard("p", "work", "a")
        await office.records.of("p").commit(unit)
        assert await office.left() == []
        office.go_on.clear()
        office.jobs.handle("work", office.do, at_once_max=1)
        await office.promise("b")
        await office.got(1)
        assert await office.jobs.discard("p", "work", "b") is None
        office.go_on.set()


def record(number: int, project: str, priority: int) -> Record:
    body = JobBody(kind="work", key=str(number), state="waiting", priority=priority)
    return Record(
        project=project, kind="job", id=str(number), seq=number, created_at=0, body=encode(body)
    )


def test_one_project_with_much_to_do_does_not_hold_up_another() -> None:
    many = [record(n, "busy", 0) for n in range(5)]
    taken = fairly([*many, record(9, "small", 0)], turns=Turns(), limit=10)
    assert [one.id for one in taken] == ["0", "9", "1", "2", "3", "4"]


def test_a_project_has_its_turn_though_only_one_place_is_free_at_a_time() -> None:
    turns = Turns()
    waiting = [*(record(n, "busy", 0) for n in range(5)), *(record(n, "small", 0) for n in (8, 9))]
    taken = []
    while waiting:
        (one,) = fairly(waiting, turns=turns, limit=1)
        waiting.remove(one)
        taken.append(one.id)
    assert taken == ["0", "8", "1", "9", "2", "3", "4"]


def test_lower_priorities_go_first() -> None:
    mixed = [record(1, "p", 5), record(2, "p", 0), record(3, "p", -1)]
    taken = fairly(mixed, turns=Turns(), limit=3)
    assert [one.id for one in taken] == ["3", "2", "1"]


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 2)), max_size=30))
def test_taking_fairly_loses_nothing_and_keeps_each_projects_order(
    given_jobs: list[tuple[str, int]],
) -> None:
    records = [record(n, project, priority) for n, (project, priority) in enumerate(given_jobs)]
    taken = fairly(records, turns=Turns(), limit=len(records))
    assert sorted(one.seq for one in taken) == list(range(len(records)))
    for project in "abc":
        for priority in range(3):
            mine = [
                one.seq
                for one in taken
                if one.project == project and given_jobs[one.seq][1] == priority
            ]
            assert mine == sorted(mine)


async def test_any_number_of_waiting_jobs_of_one_project_hides_none_of_the_others(
    open_office: Any,
) -> None:
    async with open_office(jobs={"scan_max": 5}) as office:
        for n in range(60):
            await office.promise(f"busy {n}", project="busy")
        for project in "abcdefgh":
            await office.promise(f"small {project}", project=project)
        await office.promise("urgent", project="busy", priority=-1)
        office.jobs.handle("work", office.do, at_once_max=1)
        await office.none_left()
        order = [job.key for job in office.given]
        assert len(order) == 69
        assert order.index("urgent") == 0
        last_small = max(order.index(f"small {project}") for project in "abcdefgh")
        assert last_small < 45


async def test_how_many_wait_is_known_though_more_do_than_are_looked_at(open_office: Any) -> None:
    async with open_office(jobs={"scan_max": 5}) as office:
        office.go_on.clear()
        office.jobs.handle("work", office.do, at_once_max=2)
        for n in range(42):
            await office.promise(str(n))
        async with asyncio.timeout(20):
            while office.jobs.waiting("work") != 40:
                await asyncio.sleep(0.005)
            office.go_on.set()
            await office.none_left()
            while office.jobs.waiting("work"):
                await asyncio.sleep(0.005)


async def test_a_lost_lease_is_told_by_readiness(tmp_path: Path) -> None:
    settings = {"jobs": {"heartbeat_s": 0.01}}
    async with kernel_with(
        "sqlite", "events", "jobs", Desk, settings=settings, data_dir=tmp_path
    ) as server:
        assert (await server.get("/health/ready")).status_code == 200
        system = server.plugin("desk").system
        (worker,) = await system.scan("worker")
        await system.of(worker.project).commit([Delete(kind="worker", id=worker.id)])
        async with asyncio.timeout(20):
            while (ready := await server.get("/health/ready")).status_code == 200:
                await asyncio.sleep(0.01)
        assert "lease" in ready.json()["plugins"]["jobs"]["detail"]
