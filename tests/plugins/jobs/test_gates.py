"""Jobs that have to pass a gate before they begin."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.plugins.jobs import test_jobs
from tests.plugins.jobs.test_jobs import Office

from famulus_schemas.jobs import Job

pytestmark = pytest.mark.anyio

open_office = test_jobs.open_office


class Room:
    """A gate with room for so many jobs of whoever is named."""

    def __init__(self, **at_once: int) -> None:
        self.at_once = at_once
        self.inside: list[str] = []
        self.most = 0
        self.asked: list[str] = []
        self.fails = False

    def of(self, principal: str) -> list[str]:
        return [each for each in self.inside if each.startswith(f"{principal} ")]

    def minds(self, job: Job) -> bool:
        return job.principal in self.at_once

    async def enter(self, job: Job) -> bool:
        self.asked.append(job.key)
        await asyncio.sleep(0)
        if self.fails:
            raise RuntimeError("the gate is broken")
        if len(self.of(job.principal)) >= self.at_once[job.principal]:
            return False
        self.inside.append(f"{job.principal} {job.key} {job.fence}")
        self.most = max(self.most, len(self.inside))
        return True

    async def leave(self, job: Job) -> None:
        await asyncio.sleep(0)
        self.inside.remove(f"{job.principal} {job.key} {job.fence}")


async def promise(office: Office, key: str, principal: str = "") -> None:
    ticket = office.jobs.enqueue("p", "work", key, principal=principal)
    await office.records.of("p").commit(ticket.unit)
    office.jobs.started(ticket)


async def test_jobs_wait_in_order_until_there_is_room_and_hold_up_nobody(
    open_office: Any,
) -> None:
    async with open_office() as office:
        room = Room(ann=1)
        office.go_on.clear()
        office.jobs.handle("work", office.do, at_once_max=4, gates=[room])
        for key in ("a1", "a2", "a3"):
            await promise(office, key, "ann")
        await office.got(1)
        await promise(office, "b1", "ben")
        assert [job.key for job in await office.got(2)] == ["a1", "b1"]
        office.go_on.set()
        await office.none_left()
        assert [job.key for job in office.given] == ["a1", "b1", "a2", "a3"]
        assert room.most == 1
        async with asyncio.timeout(20):
            while room.inside:
                await asyncio.sleep(0.005)


async def test_whoever_is_not_minded_begins_at_once_beside_those_who_wait(
    open_office: Any,
) -> None:
    async with open_office() as office:
        office.go_on.clear()
        office.jobs.handle("work", office.do, at_once_max=4, gates=[Room(ann=1)])
        await promise(office, "a1", "ann")
        await promise(office, "a2", "ann")
        await office.got(1)
        async with asyncio.timeout(20):
            while (ticket := office.jobs.enqueue("p", "work", "b1", principal="ben")).job is None:
                office.jobs.give_back(ticket)
                await asyncio.sleep(0.005)
        office.jobs.give_back(ticket)
        office.go_on.set()
        await office.none_left()


async def test_of_many_that_wait_for_the_same_only_one_is_asked_about(open_office: Any) -> None:
    async with open_office(jobs={"poll_s": 600}) as office:
        room = Room(ann=1)
        office.go_on.clear()
        office.jobs.handle("work", office.do, at_once_max=50, gates=[room])
        await promise(office, "a0", "ann")
        await office.got(1)
        room.asked.clear()
        for at in range(1, 20):
            await promise(office, f"a{at}", "ann")
        assert set(room.asked) == {"a1"}
        office.go_on.set()
        # Nothing but the one that leaves says that there is room.
        await office.none_left()
        assert room.most == 1


async def test_a_job_is_let_in_by_all_gates_or_none(open_office: Any) -> None:
    async with open_office() as office:
        wide, narrow = Room(ann=9), Room(ann=1)
        office.go_on.clear()
        office.jobs.handle("work", office.do, at_once_max=9, gates=[wide, narrow])
        for at in range(3):
            await promise(office, f"a{at}", "ann")
        await office.got(1)
        async with asyncio.timeout(20):
            while len(wide.asked) < 5 or len(wide.inside) > 1:
                await asyncio.sleep(0.005)
        assert len(narrow.inside) == 1
        office.go_on.set()
        await office.none_left()
        async with asyncio.timeout(20):
            while wide.inside or narrow.inside:
                await asyncio.sleep(0.005)


async def test_a_job_that_fails_or_is_laid_aside_gives_its_place_back(open_office: Any) -> None:
    async with open_office() as office:
        room = Room(ann=1)
        broke: list[str] = []

        async def stumble(job: Job) -> None:
            assert len(room.inside) == 1
            if job.key == "parked":
                await office.records.of("p").commit(office.jobs.park(job))
                return
            if not broke:
                broke.append(job.key)
                raise RuntimeError("broken")
            await office.do(job)

        office.jobs.handle("work", stumble, at_once_max=9, gates=[room])
        await promise(office, "parked", "ann")
        await promise(office, "fails once", "ann")
        await promise(office, "third", "ann")
        await office.got(2)
        ticket = await office.jobs.requeue("p", "work", "parked")
        # Whose it is was not forgotten: it has to pass the gate again.
        assert ticket.job is None
        office.jobs.give_back(ticket)
        assert room.most == 1


async def test_a_gate_that_breaks_keeps_its_own_waiting_and_no_others(open_office: Any) -> None:
    async with open_office() as office:
        room = Room(ann=1)
        room.fails = True
        office.jobs.handle("work", office.do, at_once_max=9, gates=[room])
        await promise(office, "a1", "ann")
        await promise(office, "b1", "ben")
        assert [job.key for job in await office.got(1)] == ["b1"]
        room.fails = False
        assert [job.key for job in await office.got(2)] == ["b1", "a1"]


async def test_a_worker_that_stops_gives_all_places_back(open_office: Any) -> None:
    async with open_office() as office:
        room = Room(ann=2)
        office.go_on.clear()
        office.jobs.handle("work", office.do, at_once_max=9, gates=[room])
        for at in range(3):
            await promise(office, f"a{at}", "ann")
        await office.got(2)
        await office.jobs.withdraw("work", grace_s=0.0)
        assert room.inside == []
        assert len(await office.left()) == 3
