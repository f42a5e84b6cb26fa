"""No job is lost between a worker that lives and a store that does not answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import pytest
from tests.plugins.shared_store import SharedStore, of

from famulus import NoSettings, Plugin, need
from famulus.testing import kernel_with
from famulus_jobs.kinds import JobBody, encode, moved
from famulus_schemas.jobs import Job, Jobs
from famulus_schemas.ports import EVENTS, JOBS, RECORDS
from famulus_schemas.records import Delete, Insert, StoreUnavailable

QUICK = {"heartbeat_s": 0.02, "lease_s": 0.1, "poll_s": 0.02, "retry_s": 0.01}


class Desk(Plugin[NoSettings]):
    """Reaches the ports for a test."""

    name = "desk"
    jobs = need(JOBS)
    events = need(EVENTS)
    records = need(RECORDS)


class Worker:
    """One server that does jobs, and what it was given."""

    def __init__(self, desk: Any) -> None:
        self.jobs: Jobs = desk.jobs
        self.events = desk.events
        self._records = desk.records
        self.given: list[Job] = []

    async def do(self, job: Job) -> None:
        """Notes the job and finishes it."""
        self.given.append(job)
        await self._records.of(job.project).commit(self.jobs.finish(job))

    async def promise(self, key: str) -> None:
        """Enqueue a job, commit it, and say so."""
        ticket = self.jobs.enqueue("p", "work", key)
        await self._records.of("p").commit(ticket.unit)
        self.jobs.started(ticket)


OpenWorker = Callable[..., AbstractAsyncContextManager[Worker]]


@pytest.fixture
def store() -> SharedStore:
    return SharedStore()


@pytest.fixture
def open_worker(store: SharedStore) -> OpenWorker:
    @asynccontextmanager
    async def opened(**jobs: float) -> AsyncIterator[Worker]:
        settings = {"jobs": {**QUICK, **jobs}}
        async with kernel_with(store.plugin(), "events", "jobs", Desk, settings=settings) as server:
            yield Worker(server.plugin("desk"))

    return opened


async def all_done(store: SharedStore) -> None:
    """Return once every job is finished."""
    async with asyncio.timeout(20):
        while store.records("job"):
            await asyncio.sleep(0.005)


def workers(store: SharedStore) -> list[str]:
    return [record.id for record in store.records("worker")]


async def test_a_job_that_was_made_without_an_answer_is_found(
    store: SharedStore, open_worker: OpenWorker
) -> None:
    async with open_worker() as worker:
        worker.jobs.handle("work", worker.do, at_once_max=2)
        store.loses_answer = of("job")
        with pytest.raises(StoreUnavailable):
            await worker.promise("a")
        await all_done(store)
        (job,) = worker.given
        assert (job.key, job.attempt) == ("a", 1)


async def test_a_job_that_was_taken_without_an_answer_is_found(
    store: SharedStore, open_worker: OpenWorker
) -> None:
    async with open_worker() as worker:
        await worker.promise("a")
        store.loses_answer = of("job", b'"leased"')
        worker.jobs.handle("work", worker.do, at_once_max=2)
        await all_done(store)
        assert [job.key for job in worker.given] == ["a"]


@pytest.mark.parametrize("fault", ["refuses", "loses_answer"])
async def test_a_job_is_handed_back_however_often_the_store_refuses_that(
    store: SharedStore, open_worker: OpenWorker, fault: str
) -> None:
    async with open_worker() as worker:
        tries: list[int] = []

        async def stumble(job: Job) -> None:
            tries.append(job.attempt)
            if len(tries) == 1:
                setattr(store, fault, of("job", b'"waiting"'))
                raise RuntimeError("not yet")
            await worker.do(job)

        worker.jobs.handle("work", stumble, at_once_max=2)
        await worker.promise("a")
        await all_done(store)
        assert tries == [1, 2]


async def test_a_store_that_is_away_is_no_attempt(
    store: SharedStore, open_worker: OpenWorker
) -> None:
    async with open_worker() as worker:
        tries: list[int] = []

        async def meet_the_store(job: Job) -> None:
            tries.append(job.attempt)
            store.is_down = len(tries) == 1
            await worker.do(job)

        worker.jobs.handle("work", meet_the_store, at_once_max=2)
        await worker.promise("a")
        async with asyncio.timeout(20):
            while not tries:
                await asyncio.sleep(0.005)
        await asyncio.sleep(0.1)
        store.is_down = False
        await all_done(store)
        assert set(tries) == {1}


async def test_a_job_of_a_worker_that_is_gone_is_found(
    store: SharedStore, open_worker: OpenWorker
) -> None:
    body = JobBody(kind="work", key="a", state="leased", worker="worker_gone")
    async with open_worker() as worker:
        worker.jobs.handle("work", worker.do, at_once_max=2)
        orphan = Insert(
            kind="job",
            id="work:a",
            created_at=0,
            body=encode(body),
            fence=1,
            index=body.index("p"),
        )
        store.memory.commit("p", [orphan])
        await all_done(store)
        (job,) = worker.given
        assert (job.key, job.attempt) == ("a", 2)


async def test_a_job_at_work_is_not_taken_for_a_lost_one(
    store: SharedStore, open_worker: OpenWorker
) -> None:
    async with open_worker() as worker, open_worker() as other:
        go_on = asyncio.Event()

        async def work(job: Job) -> None:
            await go_on.wait()
            await worker.do(job)

        worker.jobs.handle("work", work, at_once_max=2)
        other.jobs.handle("work", other.do, at_once_max=2)
        await worker.promise("a")
        # Long enough for several looks at every job.
        await asyncio.sleep(0.5)
        go_on.set()
        await all_done(store)
        assert [job.attempt for job in worker.given] == [1]
        assert other.given == []


async def test_a_beat_that_was_written_without_an_answer_loses_no_lease(
    store: SharedStore, open_worker: OpenWorker
) -> None:
    async with open_worker() as worker:
        (name,) = workers(store)
        store.loses_answer = of("worker")
        async with asyncio.timeout(20):
            while store.records("worker")[0].version < 5:
                await asyncio.sleep(0.005)
        worker.jobs.handle("work", worker.do, at_once_max=2)
        await worker.promise("a")
        await all_done(store)
        assert len(worker.given) == 1
        assert workers(store) == [name]


async def test_a_worker_that_lost_its_lease_takes_nothing_more(
    store: SharedStore, open_worker: OpenWorker
) -> None:
    async with open_worker() as buried, open_worker() as other:
        buried.jobs.handle("work", buried.do, at_once_max=2)
        mine = workers(store)[0]
        store.memory.commit("system", [Delete(kind="worker", id=mine)])
        async with asyncio.timeout(20):
            while buried.jobs.room_for("work"):
                await asyncio.sleep(0.005)
        await buried.promise("a")
        other.jobs.handle("work", other.do, at_once_max=2)
        await all_done(store)
        assert buried.given == []
        assert [job.key for job in other.given] == ["a"]


async def test_waiting_jobs_are_found_by_a_worker_that_nobody_can_wake(
    store: SharedStore, open_worker: OpenWorker
) -> None:
    async with open_worker(poll_s=0.05) as worker, open_worker() as other:
        worker.jobs.handle("work", worker.do, at_once_max=2)
        # A listener that is too slow is dropped.
        worker.events.drop("system", "jobs")
        await other.promise("a")
        await all_done(store)
        assert [job.key for job in worker.given] == ["a"]


async def test_who_lets_go_of_jobs_takes_no_more_and_others_have_what_it_left(
    open_worker: OpenWorker,
) -> None:
    async with open_worker() as worker, open_worker() as other:
        go_on = asyncio.Event()

        async def wait(job: Job) -> None:
            worker.given.append(job)
            await go_on.wait()
            await worker.do(job)

        worker.jobs.handle("work", wait, at_once_max=2)
        await worker.promise("read")
        await worker.promise("not read")
        async with asyncio.timeout(20):
            while len(worker.given) < 2:
                await asyncio.sleep(0.005)
            other.jobs.handle("work", other.do, at_once_max=2)
            await worker.jobs.let_go("work", keep=lambda project, key: key == "read")
            await worker.promise("later")
            while len(other.given) < 2:
                await asyncio.sleep(0.005)
        assert worker.jobs.room_for("work") == 0
        assert sorted((job.key, job.attempt) for job in other.given) == [
            ("later", 1),
            ("not read", 1),
        ]
        go_on.set()


async def test_who_lets_go_of_jobs_and_is_alone_goes_on_with_what_it_has(
    store: SharedStore, open_worker: OpenWorker
) -> None:
    async with open_worker() as worker:
        go_on = asyncio.Event()

        async def wait(job: Job) -> None:
            await go_on.wait()
            await worker.do(job)

        worker.jobs.handle("work", wait, at_once_max=2)
        await worker.promise("a")
        await worker.jobs.let_go("work", keep=lambda project, key: False)
        await worker.promise("b")
        go_on.set()
        async with asyncio.timeout(20):
            while len(store.records("job")) > 1:
                await asyncio.sleep(0.005)
        assert [job.key for job in worker.given] == ["a"]


async def test_a_job_that_comes_back_while_it_is_still_at_work_is_another_one(
    store: SharedStore, open_worker: OpenWorker
) -> None:
    async with open_worker() as worker:
        go_on = [asyncio.Event(), asyncio.Event()]
        is_over = asyncio.Event()

        async def wait(job: Job) -> None:
            worker.given.append(job)
            await go_on[len(worker.given) - 1].wait()
            if job.fence == 1:
                is_over.set()
            else:
                await store.memory.of("p").commit(worker.jobs.finish(job))

        worker.jobs.handle("work", wait, at_once_max=3)
        await worker.promise("a")
        async with asyncio.timeout(20):
            while not worker.given:
                await asyncio.sleep(0.005)
            # Somebody took this worker for dead, and gave the job to whoever has room.
            body = JobBody(kind="work", key="a", state="waiting", attempt=2)
            await store.memory.of("p").commit([moved(worker.given[0], body, fence=2)])
            while len(worker.given) < 2:
                await asyncio.sleep(0.005)
            assert worker.jobs.room_for("work") == 1
            go_on[0].set()
            await is_over.wait()
            # Longer than it takes to find a job that names this worker and is not at work here.
            await asyncio.sleep(20 * QUICK["lease_s"] / 4)
            assert worker.jobs.room_for("work") == 2
            assert [job.fence for job in worker.given] == [1, 3]
            go_on[1].set()
        await all_done(store)
