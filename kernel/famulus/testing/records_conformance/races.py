"""Units that come at once, from one process or several."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Sequence

import pytest

from famulus.testing.records_conformance.notes import ids, note, plain, present, refused, walk
from famulus.testing.records_conformance.opening import Opened, OpenStore, StoreTests
from famulus_schemas.records import (
    Clear,
    Conflict,
    Delete,
    Guard,
    Record,
    Records,
    Replace,
)


class RaceTests(StoreTests):
    async def test_of_many_replacements_of_one_version_one_wins(self, records: Records) -> None:
        await records.commit([plain("a")])
        bodies = [b"%d" % number for number in range(100)]
        outcomes = await asyncio.gather(
            *(records.commit([Replace(kind="plain", id="a", version=1, body=b)]) for b in bodies),
            return_exceptions=True,
        )
        won = [body for body, outcome in zip(bodies, outcomes, strict=True) if outcome is None]
        assert len(won) == 1
        assert all(isinstance(o, Conflict) and o.reason == "version" for o in outcomes if o)
        record = await records.get("plain", "a")
        assert record is not None
        assert (record.version, record.body) == (2, won[0])

    async def test_of_many_insertions_of_one_id_one_wins_with_its_whole_unit(
        self, records: Records
    ) -> None:
        names = [f"with {number}" for number in range(100)]
        outcomes = await asyncio.gather(
            *(records.commit([plain(name, "claims"), plain("the one")]) for name in names),
            return_exceptions=True,
        )
        won = [name for name, outcome in zip(names, outcomes, strict=True) if outcome is None]
        assert len(won) == 1
        assert all(isinstance(o, Conflict) and o.reason == "exists" for o in outcomes if o)
        assert await walk(records, "claims") == won

    async def test_writers_that_retry_lose_no_update(self, records: Records) -> None:
        await records.commit([plain("sum", body=b"0")])

        async def add() -> None:
            while True:
                record = await records.get("plain", "sum")
                assert record is not None
                body = b"%d" % (int(record.body) + 1)
                try:
                    await records.commit(
                        [Replace(kind="plain", id="sum", version=record.version, body=body)]
                    )
                except Conflict:
                    continue
                return

        await asyncio.gather(*(add() for _ in range(40)))
        record = await records.get("plain", "sum")
        assert record is not None
        assert (record.body, record.version) == (b"40", 41)

    async def test_a_refused_unit_spoils_no_other(self, records: Records) -> None:
        await records.commit([plain("taken")])
        names = [f"r{number}" for number in range(300)]
        outcomes = await asyncio.gather(
            *(
                records.commit([plain(name, "shelf"), *([plain("taken")] if at % 3 == 0 else [])])
                for at, name in enumerate(names)
            ),
            return_exceptions=True,
        )
        for at, outcome in enumerate(outcomes):
            assert isinstance(outcome, Conflict) if at % 3 == 0 else outcome is None
        expected = [name for at, name in enumerate(names) if at % 3]
        assert sorted(await walk(records, "shelf")) == sorted(expected)

    async def test_a_unit_is_judged_with_those_committed_just_before(
        self, records: Records
    ) -> None:
        # Sent at once, so that a store that takes many units together has to look at its own.
        count = 50
        outcomes = await asyncio.gather(
            records.commit([plain("a")]),
            *(
                records.commit([Replace(kind="plain", id="a", version=version)])
                for version in range(1, count)
            ),
            return_exceptions=True,
        )
        record = await records.get("plain", "a")
        accepted = [outcome for outcome in outcomes if outcome is None]
        assert record is not None
        assert record.version == len(accepted)
        assert all(outcome is None or isinstance(outcome, Conflict) for outcome in outcomes)

    async def test_nothing_is_added_to_a_list_unseen_by_who_clears_what_it_saw(
        self, records: Records
    ) -> None:
        await _adders_and_a_clearer(records, records)

    async def test_nothing_is_added_unseen_by_who_clears_what_it_saw_from_another_process(
        self, opened: Opened, open_store: OpenStore
    ) -> None:
        self._skip_unless_shared()
        async with open_store() as second:
            await _adders_and_a_clearer(opened.store.of("project"), second.store.of("project"))

    async def test_a_fence_keeps_out_whoever_was_taken_over_from(self, records: Records) -> None:
        await records.commit([plain("job", fence=1)])
        await records.commit([Guard(kind="plain", id="job", fence=1), plain("first")])
        await records.commit([Replace(kind="plain", id="job", version=1, fence=2)])
        conflict = await refused(
            records, Guard(kind="plain", id="job", fence=1), plain("by a zombie")
        )
        assert conflict.reason == "fence"
        await records.commit([Guard(kind="plain", id="job", fence=2), plain("second")])
        assert await present(records, "first", "by a zombie", "second") == ["first", "second"]

    async def test_a_cancelled_commit_is_whole_or_absent_and_harms_no_other(
        self, records: Records
    ) -> None:
        names = [f"r{number}" for number in range(60)]
        tasks = [asyncio.create_task(records.commit([plain(name), note(name)])) for name in names]
        await asyncio.sleep(0)
        for task in tasks[::2]:
            task.cancel()
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        assert [outcome for outcome in outcomes[1::2] if outcome is not None] == []
        await records.commit([plain("after")])
        there = await present(records, *names)
        assert there == await present(records, *names, kind="note")
        assert set(names[1::2]) <= set(there)

    async def test_a_list_grows_at_its_end_only(self, records: Records) -> None:
        await _writers_and_a_reader([records], records)

    async def test_a_list_grows_at_its_end_only_with_several_processes(
        self, opened: Opened, open_store: OpenStore
    ) -> None:
        self._skip_unless_shared()
        async with open_store() as second, open_store() as third:
            stores = [one.store.of("project") for one in (opened, second, third)]
            await _writers_and_a_reader(stores[:2], stores[2])

    async def test_of_several_processes_one_wins(
        self, opened: Opened, open_store: OpenStore
    ) -> None:
        self._skip_unless_shared()
        async with open_store() as second:
            stores = [opened.store.of("project"), second.store.of("project")]
            await stores[0].commit([plain("sum", body=b"0")])
            for version in range(1, 20):
                outcomes = await asyncio.gather(
                    *(
                        store.commit([Replace(kind="plain", id="sum", version=version)])
                        for store in stores * 10
                    ),
                    return_exceptions=True,
                )
                assert sum(outcome is None for outcome in outcomes) == 1
                assert all(o is None or isinstance(o, Conflict) for o in outcomes)

    async def test_of_several_processes_one_insertion_wins(
        self, opened: Opened, open_store: OpenStore
    ) -> None:
        self._skip_unless_shared()
        async with open_store() as second:
            stores = [opened.store.of("project"), second.store.of("project")]
            for number in range(20):
                outcomes = await asyncio.gather(
                    *(store.commit([plain(f"r{number}")]) for store in stores * 5),
                    return_exceptions=True,
                )
                assert sum(outcome is None for outcome in outcomes) == 1
                assert all(o is None or isinstance(o, Conflict) for o in outcomes)

    async def test_what_one_process_committed_another_reads(
        self, opened: Opened, open_store: OpenStore
    ) -> None:
        self._skip_unless_shared()
        async with open_store() as second:
            await opened.store.of("project").commit([plain("a")])
            assert await present(second.store.of("project"), "a") == ["a"]

    async def test_units_over_the_same_records_in_any_order_do_not_lock_each_other_out(
        self, opened: Opened, open_store: OpenStore
    ) -> None:
        self._skip_unless_shared()
        async with open_store() as second:
            stores = [opened.store.of("project"), second.store.of("project")]
            guards = [Guard(kind="plain", id=f"g{number}") for number in range(10)]
            await stores[0].commit([plain(guard.id) for guard in guards])
            outcomes = await asyncio.gather(
                *(
                    stores[number % 2].commit(
                        [*(guards if number % 3 else guards[::-1]), plain(f"r{number}", "shelf")]
                    )
                    for number in range(100)
                ),
                return_exceptions=True,
            )
            assert [outcome for outcome in outcomes if outcome is not None] == []
            assert len(await walk(stores[0], "shelf")) == 100

    def _skip_unless_shared(self) -> None:
        if not self.several_processes:
            pytest.skip("this store has one process")


async def _adders_and_a_clearer(adding: Records, clearing: Records) -> None:
    """What was added to an owner's list is there, or was seen, or its owner was gone before it."""
    seen: set[str] = set()
    reasons: set[tuple[bool, str]] = set()

    async def add(owner: str, number: int) -> str | None:
        id = f"{owner}.{number}"
        try:
            await adding.commit([Guard(kind="plain", id=owner), plain(id, owner)])
        except Conflict as conflict:
            reasons.add((conflict.id == owner, conflict.reason))
            return None
        return id

    async def clear(owner: str) -> None:
        while True:
            found = (await clearing.page("plain", owner, limit=100)).records
            until = found[0].seq if found else 0
            try:
                await clearing.commit(
                    [
                        Delete(kind="plain", id=owner),
                        Clear(kind="plain", parent=owner, until=until),
                    ]
                )
            except Conflict as conflict:
                reasons.add((conflict.id == owner, conflict.reason))
                continue
            seen.update(ids(found))
            return

    owners = [f"owner {number}" for number in range(20)]
    await adding.commit([plain(owner) for owner in owners])
    added, _ = await asyncio.gather(
        asyncio.gather(*(add(owner, number) for number in range(10) for owner in owners)),
        asyncio.gather(*(clear(owner) for owner in owners)),
    )
    assert reasons <= {(True, "missing"), (False, "exists")}
    assert {id for id in added if id is not None} == seen
    assert await present(adding, *(id for id in added if id is not None)) == []


async def _writers_and_a_reader(writers: Sequence[Records], reader: Records) -> None:
    """Whoever reads on from the last record that it saw misses none, whatever is committed."""
    clock = itertools.count()
    spans: dict[str, tuple[int, int]] = {}
    last = "the last one"

    async def write(name: str, records: Records) -> None:
        for number in range(25):
            id = f"{name}.{number}"
            begun = next(clock)
            await records.commit([plain(id, "shelf")])
            spans[id] = (begun, next(clock))

    async def read() -> list[Record]:
        seen: list[Record] = []
        while not seen or seen[-1].id != last:
            after = seen[-1].id if seen else None
            page = await reader.page("plain", "shelf", order="asc", after=after, limit=10)
            seen += page.records
            await asyncio.sleep(0)
        return seen

    reading = asyncio.create_task(read())
    await asyncio.gather(*(write(f"w{n}", writers[n % len(writers)]) for n in range(8)))
    await writers[0].commit([plain(last, "shelf")])
    seen = await reading
    assert sorted(ids(seen)) == sorted([*spans, last])
    seqs = {record.id: record.seq for record in seen}
    assert len(set(seqs.values())) == len(seen)
    for (one, (_, one_ended)), (two, (two_began, _)) in itertools.permutations(spans.items(), 2):
        if one_ended < two_began:
            assert seqs[one] < seqs[two]
