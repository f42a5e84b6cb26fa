"""Adding up loses nothing and counts nothing twice, wherever it breaks off."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from famulus.testing.memory_records import MemoryRecords, MemoryStore
from famulus_schemas.records import (
    Insert,
    OutcomeUnknown,
    Record,
    StoreUnavailable,
    Unit,
)
from famulus_usage.cells import Cell, decode_cell, encode_cells, summed
from famulus_usage.kinds import KINDS
from famulus_usage.noted import Noted
from famulus_usage.roller import Roller, spent_id, times_of
from famulus_usage.settings import UsageSettings

START = 1_698_796_800
SETTINGS = UsageSettings(events_max=3)
ROUNDS_MAX = 40

Events = Sequence[tuple[str, str, list[Cell]]]
"""Project, process, and what was used."""


class _Slow(MemoryRecords):
    """Lets others come between what is read and what is written."""

    async def get(self, kind: str, id: str) -> Record | None:
        await asyncio.sleep(0)
        return await super().get(kind, id)

    async def commit(self, unit: Unit) -> None:
        await asyncio.sleep(0)
        await super().commit(unit)


class Flaky(MemoryStore):
    """A store of which each commit goes as the plan says: well, not at all, or nobody knows."""

    plan: list[str]

    def of(self, project: str) -> MemoryRecords:
        return _Slow(project, self)

    def commit(self, project: str, unit: Unit) -> None:
        fate = self.plan.pop() if self.plan else "well"
        if fate == "refused":
            raise StoreUnavailable("full, says the test")
        super().commit(project, unit)
        if fate == "unknown":
            raise OutcomeUnknown("the answer was lost, says the test")


cells = st.builds(
    Cell,
    at=st.integers(0, 50_000).map(lambda minute: START + minute * 60),
    user=st.sampled_from(["", "u"]),
    key=st.sampled_from(["", "k1", "k2"]),
    model=st.sampled_from(["m", "n"]),
    requests=st.integers(1, 3),
    input=st.integers(0, 1_000),
    cost=st.integers(0, 10**9),
)
events = st.lists(
    st.tuples(
        st.sampled_from(["one", "two"]),
        st.sampled_from(["a", "b", "dead"]),
        st.lists(cells, min_size=1, max_size=4),
    ),
    max_size=12,
)
plans = st.lists(st.sampled_from(["well", "refused", "unknown"]), max_size=12)


def insert(worker: str, number: int, used: list[Cell]) -> Insert:
    """An event as a process writes it."""
    return Insert(
        kind="usage_event",
        id=f"{worker}{number}",
        parent=f"{worker}.0",
        created_at=START,
        body=encode_cells(used),
        index={"worker": worker},
    )


async def rolled(store: Flaky, workers: Sequence[str]) -> None:
    """Processes add up at once, and again after what went wrong, until nothing is left."""
    rollers = [Roller(store.system, each, SETTINGS, lambda: START + 100.0) for each in workers]

    async def work(roller: Roller) -> None:
        for _ in range(ROUNDS_MAX):
            try:
                await roller.roll()
                await roller.adopt()
            except StoreUnavailable:
                continue
            if not any(record.kind == "usage_event" for record in store.records.values()):
                return

    await asyncio.gather(*map(work, rollers))


def there(store: Flaky) -> Counter[tuple[str, str, str]]:
    """Requests and costs that rows tell, by project, kind of row, and what of."""
    found: Counter[tuple[str, str, str]] = Counter()
    for record in store.records.values():
        assert record.kind != "usage_event"
        if record.kind == "usage_spent":
            found[record.project, "spent", record.id] = int(record.body)
            continue
        cell = decode_cell(record.body)
        name = f"{cell.user}/{cell.key}/{cell.model}"
        found[record.project, record.kind, f"requests {name}"] += cell.requests
        found[record.project, record.kind, f"cost {name}"] += cell.cost
        found[record.project, record.kind, f"input {name}"] += cell.input
    return +found


def expected(given_events: Events) -> Counter[tuple[str, str, str]]:
    """The same, of what was used."""
    found: Counter[tuple[str, str, str]] = Counter()
    for project, _, used in given_events:
        for cell in used:
            name = f"{cell.user}/{cell.key}/{cell.model}"
            for kind in ("usage_minute", "usage_hour", "usage_day"):
                found[project, kind, f"requests {name}"] += cell.requests
                found[project, kind, f"cost {name}"] += cell.cost
                found[project, kind, f"input {name}"] += cell.input
            for time in times_of(cell.at):
                for key in {None, cell.key or None}:
                    found[project, "spent", spent_id(time, key)] += cell.cost
    return +found


@settings(deadline=None, max_examples=60)
@given(events, plans)
def test_sums_are_kept_by_two_processes_whatever_fails(
    given_events: Events, plan: list[str]
) -> None:
    async def scenario() -> None:
        store = Flaky()
        store.plan = []
        await store.declare(*KINDS)
        for number, (project, worker, used) in enumerate(given_events):
            await store.of(project).commit([insert(worker, number, used)])
        store.plan = list(plan)
        await rolled(store, ["a", "b"])
        assert there(store) == expected(given_events)

    asyncio.run(scenario())


@settings(deadline=None, max_examples=40)
@given(events, plans)
def test_what_is_noted_is_written_once_whatever_fails(
    given_events: Events, plan: list[str]
) -> None:
    async def scenario() -> None:
        store = Flaky()
        store.plan = list(plan)
        await store.declare(*KINDS)
        numbers = iter(range(1_000))
        noted = Noted(store.system, lambda some: insert("a", next(numbers), some), cells_max=1_000)
        for project, _, used in given_events:
            for cell in used:
                assert noted.add(project, cell)
            await noted.write()
        while not await noted.write():
            pass
        assert (len(noted), noted.lost) == (0, 0)
        await rolled(store, ["a"])
        assert there(store) == expected(given_events)

    asyncio.run(scenario())


def test_what_has_no_room_is_lost_and_counted() -> None:
    async def scenario() -> None:
        store = Flaky()
        store.plan = ["refused"]
        await store.declare(*KINDS)
        noted = Noted(store.system, lambda some: insert("a", 0, some), cells_max=1)
        assert noted.add("one", Cell(at=START, requests=1))
        assert noted.add("one", Cell(at=START, requests=1))
        assert not noted.add("one", Cell(at=START, key="k", requests=2))
        assert (len(noted), noted.lost) == (1, 2)
        assert not await noted.write()
        assert await noted.write()
        assert noted.add("one", Cell(at=START, key="k", requests=1))

    asyncio.run(scenario())


@settings(max_examples=40, deadline=None)
@given(st.lists(cells, max_size=20))
def test_the_order_of_a_sum_does_not_matter(used: list[Cell]) -> None:
    def whole(some: list[Cell]) -> list[Cell]:
        return sorted(summed(some), key=lambda cell: (cell.at, cell.dimensions))

    assert whole(used) == whole(used[::-1])


def test_all_that_is_too_old_goes_in_one_pass_however_many_have_it() -> None:
    async def scenario() -> None:
        store = Flaky()
        store.plan = []
        await store.declare(*KINDS)
        used = [Cell(at=START, requests=1)]
        for number in range(250):
            await store.of(f"proj_{number}").commit([insert("a", number, used)])
        await Roller(store.system, "a", SETTINGS, lambda: START + 1.0).roll()
        late = START + 86_400.0 * (SETTINGS.hours_kept_days + 3)
        await Roller(store.system, "b", SETTINGS, lambda: late).tidy()
        assert {record.kind for record in store.records.values()} == {"usage_day"}

    asyncio.run(scenario())
