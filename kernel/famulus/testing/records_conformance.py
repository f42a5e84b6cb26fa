"""What every record store promises, as tests: subclass, say how to open one, and run pytest.

    class TestMyStore(RecordsConformance):
        @pytest.fixture
        def open_store(self, tmp_path):
            return lambda: open_my_store(tmp_path)

The tests are coroutines, run by anyio's pytest plugin on asyncio.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, ClassVar, Literal, Protocol

import anyio
import anyio.from_thread
import anyio.to_thread
import msgspec
import pytest
from hypothesis import HealthCheck, given, settings

from famulus.testing import records_model
from famulus_schemas.records import (
    Clear,
    Conflict,
    Delete,
    Guard,
    Insert,
    Kind,
    Order,
    Page,
    Reason,
    Record,
    Records,
    RecordStore,
    Replace,
    SystemRecords,
    UnknownCursor,
    Write,
)


class Opened(Protocol):
    """An open store, as a subclass's `open_store` yields it."""

    @property
    def store(self) -> RecordStore: ...

    @property
    def system(self) -> SystemRecords: ...


OpenStore = Callable[[], AbstractAsyncContextManager[Opened]]
"""Opens a store; within one test always on the same place, which was empty at first."""

PLAIN = Kind(name="plain")
NOTE = Kind(
    name="note",
    indexes=("color", "owner"),
    index_of=lambda record: msgspec.json.decode(record.body, type=dict[str, str]),
)
GONE = Delete(kind="plain", id="a")
BODY = b'{"color":"red","text":"na\xc3\xafve"}'


def plain(id: str, parent: str = "", **fields: Any) -> Insert:
    """The insertion of a record of no indexed kind."""
    given: dict[str, Any] = {"kind": "plain", "created_at": 5, "body": b"{}"} | fields
    return Insert(id=id, parent=parent, **given)


def note(id: str, parent: str = "", *, body: bytes = b"{}", **index: str) -> Insert:
    """The insertion of a record with index values."""
    return Insert(kind="note", id=id, parent=parent, created_at=5, body=body, index=index)


def ids(records: Page | Sequence[Record]) -> list[str]:
    """The ids, in order."""
    return [record.id for record in (records.records if isinstance(records, Page) else records)]


async def present(records: Records, *names: str, kind: str = "plain") -> list[str]:
    """Which of these ids there are."""
    return [id for id in names if await records.get(kind, id) is not None]


async def walk(
    records: Records, parent: str = "", *, kind: str = "plain", limit: int = 7, **how: Any
) -> list[str]:
    """Every id of a list, page by page."""
    found: list[str] = []
    after: str | None = None
    while True:
        page = await records.page(kind, parent, after=after, limit=limit, **how)
        found += ids(page)
        if not page.has_more:
            return found
        assert len(page.records) == limit
        after = found[-1]


async def refused(records: Records, *unit: Write) -> Conflict:
    """The conflict that a unit is refused with."""
    with pytest.raises(Conflict) as caught:
        await records.commit(unit)
    return caught.value


class _Fixtures:
    several_processes: ClassVar[bool] = False
    """Whether a place may be open twice at once, as by two processes."""
    many: ClassVar[int] = 100_000
    """How many records the test of a large list inserts."""

    pytestmark = pytest.mark.anyio

    @pytest.fixture
    def open_store(self) -> OpenStore:
        raise NotImplementedError("a subclass says how its store is opened")

    @pytest.fixture
    async def opened(self, open_store: OpenStore) -> AsyncIterator[Opened]:
        async with open_store() as opened:
            await opened.store.declare(PLAIN, NOTE)
            yield opened

    @pytest.fixture
    def records(self, opened: Opened) -> Records:
        return opened.store.of("project")


class _Writes(_Fixtures):
    async def test_a_record_is_read_as_it_was_written(self, records: Records) -> None:
        extra = bytes(range(256))
        await records.commit(
            [
                Insert(
                    kind="note",
                    id="n/1 é",
                    parent="shelf",
                    created_at=1_700_000_000,
                    body=BODY,
                    extra=extra,
                    shape=3,
                    fence=2,
                    index={"color": "red"},
                )
            ]
        )
        record = await records.get("note", "n/1 é")
        assert record is not None
        assert record.seq > 0
        assert record == Record(
            project="project",
            kind="note",
            id="n/1 é",
            parent="shelf",
            seq=record.seq,
            version=1,
            fence=2,
            created_at=1_700_000_000,
            body=BODY,
            extra=extra,
            shape=3,
        )
        assert (await records.page("note", "shelf")).records == [record]

    async def test_a_record_that_nobody_wrote_is_none(self, records: Records) -> None:
        assert await records.get("plain", "a") is None
        assert await records.get("a kind that nobody declared", "a") is None

    async def test_one_id_in_two_kinds_is_two_records(self, records: Records) -> None:
        await records.commit([plain("a", body=b"1"), note("a", body=b"2")])
        one, two = await records.get("plain", "a"), await records.get("note", "a")
        assert one is not None
        assert two is not None
        assert (one.body, two.body) == (b"1", b"2")

    async def test_a_large_record_is_kept_whole(self, records: Records) -> None:
        body, extra = b"b" * 3_000_001, b"\x00e" * 1_000_001
        await records.commit([plain("a", body=body, extra=extra)])
        record = await records.get("plain", "a")
        assert record is not None
        assert record.body == body
        assert record.extra == extra

    @pytest.mark.parametrize(
        ("write", "reason"),
        [
            (plain("there"), "exists"),
            (plain("there", "another shelf"), "exists"),
            (Replace(kind="plain", id="not there", version=1), "missing"),
            (Replace(kind="plain", id="there", version=1), "version"),
            (Replace(kind="plain", id="there", version=3), "version"),
            (Delete(kind="plain", id="not there"), "missing"),
            (Delete(kind="plain", id="not there", version=1), "missing"),
            (Delete(kind="plain", id="there", version=1), "version"),
            (Guard(kind="plain", id="there", absent=True), "exists"),
            (Guard(kind="plain", id="not there"), "missing"),
            (Guard(kind="plain", id="there", version=1), "version"),
            (Guard(kind="plain", id="there", fence=4), "fence"),
            (Guard(kind="plain", id="there", version=2, fence=6), "fence"),
            (Guard(kind="plain", id="there", version=1, fence=5), "version"),
        ],
    )
    async def test_a_write_that_cannot_stand_is_refused_with_its_reason(
        self, records: Records, write: Write, reason: Reason
    ) -> None:
        await records.commit([plain("there", fence=5)])
        await records.commit([Replace(kind="plain", id="there", version=1, body=b"2")])
        before = await records.get("plain", "there")
        conflict = await refused(records, plain("with it"), write)
        assert conflict.write == write
        assert conflict.kind == "plain"
        assert conflict.id == getattr(write, "id", None)
        assert conflict.reason == reason
        assert await records.get("plain", "there") == before
        assert await present(records, "with it", "not there") == []

    @pytest.mark.parametrize(
        "guard",
        [
            Guard(kind="plain", id="not there", absent=True),
            Guard(kind="plain", id="there"),
            Guard(kind="plain", id="there", version=1),
            Guard(kind="plain", id="there", fence=5),
            Guard(kind="plain", id="there", version=1, fence=5),
        ],
    )
    async def test_a_guard_that_holds_lets_the_unit_through_and_writes_nothing(
        self, records: Records, guard: Guard
    ) -> None:
        await records.commit([plain("there", fence=5)])
        before = await records.get("plain", "there")
        await records.commit([guard, plain("with it")])
        assert await records.get("plain", "there") == before
        assert await present(records, "with it", "not there") == ["with it"]

    @pytest.mark.parametrize(
        "change",
        [
            {},
            {"body": b"new"},
            {"extra": b"new"},
            {"shape": 9},
            {"fence": 9},
            {"body": b"", "extra": b"", "shape": 0, "fence": 0},
        ],
    )
    async def test_a_replacement_is_the_next_version_and_leaves_what_it_does_not_give(
        self, records: Records, change: Mapping[str, Any]
    ) -> None:
        await records.commit([plain("a", "shelf", body=b"b", extra=b"e", shape=2, fence=3)])
        before = await records.get("plain", "a")
        assert before is not None
        await records.commit([Replace(kind="plain", id="a", version=1, **change)])
        expected = msgspec.structs.replace(before, version=2, **change)
        assert await records.get("plain", "a") == expected

    @pytest.mark.parametrize("version", [None, 1])
    async def test_a_deleted_record_is_gone(self, records: Records, version: int | None) -> None:
        await records.commit([plain("a"), plain("b")])
        await records.commit([Delete(kind="plain", id="a", version=version)])
        assert await present(records, "a", "b") == ["b"]
        assert ids(await records.page("plain")) == ["b"]

    async def test_a_record_inserted_after_a_deletion_is_a_new_one(self, records: Records) -> None:
        await records.commit([plain("a", "old", extra=b"old", fence=4), plain("b", "new")])
        await records.commit([Replace(kind="plain", id="a", version=1)])
        await records.commit([Delete(kind="plain", id="a")])
        await records.commit([plain("a", "new")])
        record, other = await records.get("plain", "a"), await records.get("plain", "b")
        assert record is not None
        assert other is not None
        assert record.seq > other.seq
        assert (record.version, record.fence, record.extra) == (1, 0, b"")
        assert ids(await records.page("plain", "old")) == []
        assert ids(await records.page("plain", "new")) == ["a", "b"]

    async def test_clear_removes_one_kind_under_one_parent(self, opened: Opened) -> None:
        records, other = opened.store.of("project"), opened.store.of("other")
        shelf = [plain("a", "shelf"), plain("b", "shelf"), note("n", "shelf"), plain("c")]
        await records.commit(shelf)
        await other.commit(shelf)
        await records.commit([Clear(kind="plain", parent="shelf")])
        assert ids(await records.page("plain", "shelf")) == []
        assert await present(records, "a", "b", "c") == ["c"]
        assert await present(records, "n", kind="note") == ["n"]
        assert await present(other, "a", "b", "c") == ["a", "b", "c"]

    async def test_clear_is_not_refused_where_there_is_nothing(self, records: Records) -> None:
        await records.commit([Clear(kind="plain", parent="empty"), plain("a")])
        assert await present(records, "a") == ["a"]

    async def test_clear_leaves_no_cursors(self, records: Records) -> None:
        await records.commit([plain("a", "shelf"), plain("b", "shelf")])
        await records.commit([Delete(kind="plain", id="a")])
        await records.commit([Clear(kind="plain", parent="shelf")])
        for id in ("a", "b"):
            with pytest.raises(UnknownCursor):
                await records.page("plain", "shelf", after=id)

    async def test_clear_leaves_no_cursor_of_what_its_own_unit_deleted(
        self, records: Records
    ) -> None:
        await records.commit([plain("a", "shelf"), plain("b", "shelf")])
        await records.commit([GONE, Clear(kind="plain", parent="shelf"), plain("c", "shelf")])
        for id in ("a", "b"):
            with pytest.raises(UnknownCursor):
                await records.page("plain", "shelf", after=id)

    async def test_clear_leaves_no_index_values(self, records: Records) -> None:
        await records.commit([note("a", "shelf", color="red")])
        await records.commit([Clear(kind="note", parent="shelf")])
        await records.commit([note("a", "shelf", color="blue")])
        assert ids(await records.page("note", "shelf", where={"color": "red"})) == []
        assert ids(await records.page("note", "shelf", where={"color": "blue"})) == ["a"]


class _Units(_Fixtures):
    async def test_a_refused_unit_writes_nothing_of_any_kind(self, records: Records) -> None:
        await records.commit([note("a", "shelf", color="red"), note("b", "shelf", color="red")])
        await records.commit([plain("kept", "shelf")])
        before = (await records.page("note", "shelf")).records
        await refused(
            records,
            note("c", "shelf", color="red"),
            Replace(kind="note", id="a", version=1, body=b"new", index={"color": "blue"}),
            Delete(kind="note", id="b"),
            Clear(kind="plain", parent="shelf"),
            Clear(kind="note", parent="shelf"),
            plain("late", "shelf"),
            Guard(kind="plain", id="nobody"),
        )
        assert (await records.page("note", "shelf")).records == before
        assert ids(await records.page("note", "shelf", where={"color": "red"})) == ["b", "a"]
        assert ids(await records.page("note", "shelf", where={"color": "blue"})) == []
        assert ids(await records.page("plain", "shelf")) == ["kept"]
        with pytest.raises(UnknownCursor):
            await records.page("note", "shelf", after="c")

    async def test_a_unit_may_insert_and_replace(self, records: Records) -> None:
        await records.commit(
            [
                plain("a", "shelf", body=b"1", extra=b"kept"),
                Replace(kind="plain", id="a", version=1, body=b"2"),
                Replace(kind="plain", id="a", version=2, shape=6),
            ]
        )
        record = await records.get("plain", "a")
        assert record is not None
        assert (record.version, record.body, record.extra, record.shape) == (3, b"2", b"kept", 6)
        assert (record.parent, record.created_at) == ("shelf", 5)

    async def test_a_unit_may_insert_and_delete(self, records: Records) -> None:
        await records.commit([plain("a"), Delete(kind="plain", id="a", version=1), plain("b")])
        assert ids(await records.page("plain")) == ["b"]
        assert ids(await records.page("plain", order="asc", after="a")) == ["b"]

    async def test_a_unit_may_delete_and_insert_elsewhere(self, records: Records) -> None:
        await records.commit([note("a", "old", color="red"), note("b", "old")])
        await records.commit([Delete(kind="note", id="a"), note("a", "new", color="blue")])
        assert ids(await records.page("note", "old")) == ["b"]
        assert ids(await records.page("note", "new", where={"color": "blue"})) == ["a"]
        assert ids(await records.page("note", "new", where={"color": "red"})) == []
        assert ids(await records.page("note", "old", order="asc", after="a")) == ["b"]

    async def test_a_unit_may_clear_and_fill_again(self, records: Records) -> None:
        await records.commit([plain("a", "shelf", body=b"1"), plain("b", "shelf")])
        await records.commit(
            [
                plain("c", "shelf"),
                Clear(kind="plain", parent="shelf"),
                Guard(kind="plain", id="c", absent=True),
                plain("a", "shelf", body=b"2"),
            ]
        )
        page = await records.page("plain", "shelf")
        assert [(record.id, record.body, record.version) for record in page.records] == [
            ("a", b"2", 1)
        ]

    async def test_a_unit_may_clear_several_lists(self, records: Records) -> None:
        parents = ("one", "two", "three")
        await records.commit([plain(f"in {parent}", parent) for parent in parents])
        await records.commit([Clear(kind="plain", parent=parent) for parent in parents])
        assert await present(records, *(f"in {parent}" for parent in parents)) == []

    async def test_a_unit_may_write_many_records(self, records: Records) -> None:
        names = [f"r{number}" for number in range(777)]
        await records.commit([note(name, "shelf", color="red") for name in names])
        await records.commit(
            [
                Replace(
                    kind="note", id=name, version=1, body=name.encode(), index={"color": "blue"}
                )
                for name in names
            ]
        )
        page = await records.page(
            "note", "shelf", where={"color": "blue"}, order="asc", limit=len(names)
        )
        assert [record.body.decode() for record in page.records] == names
        assert {record.version for record in page.records} == {2}
        conflict = await refused(records, *(Guard(kind="note", id=id, version=1) for id in names))
        assert conflict.id == names[0]
        await records.commit([Delete(kind="note", id=name, version=2) for name in names])
        assert ids(await records.page("note", "shelf")) == []
        assert ids(await records.page("note", "shelf", before=names[-1])) == []

    async def test_values_last_until_a_later_write_of_the_unit_gives_others(
        self, records: Records
    ) -> None:
        await records.commit(
            [
                note("a", color="red"),
                Replace(kind="note", id="a", version=1, body=b"new"),
                note("b", color="red"),
                Replace(kind="note", id="b", version=1, index={"color": "blue"}),
                Replace(kind="note", id="b", version=2, body=b"new"),
            ]
        )
        assert ids(await records.page("note", where={"color": "red"})) == ["a"]
        assert ids(await records.page("note", where={"color": "blue"})) == ["b"]

    @pytest.mark.parametrize(
        ("unit", "number", "reason"),
        [
            ([plain("a"), plain("a")], 1, "exists"),
            ([plain("a"), Guard(kind="plain", id="a", absent=True)], 1, "exists"),
            ([Guard(kind="plain", id="a"), plain("a")], 0, "missing"),
            ([plain("a"), Replace(kind="plain", id="a", version=2)], 1, "version"),
            ([plain("a"), GONE, Guard(kind="plain", id="a")], 2, "missing"),
            ([plain("a"), GONE, GONE], 2, "missing"),
            ([plain("a", fence=1), Guard(kind="plain", id="a", fence=0)], 1, "fence"),
            (
                [
                    Replace(kind="plain", id="there", version=1),
                    Replace(kind="plain", id="there", version=1),
                ],
                1,
                "version",
            ),
            (
                [
                    Replace(kind="plain", id="there", version=1, fence=1),
                    Guard(kind="plain", id="there", fence=0),
                ],
                1,
                "fence",
            ),
            (
                [
                    Clear(kind="plain", parent="shelf"),
                    Replace(kind="plain", id="there", version=1),
                ],
                1,
                "missing",
            ),
        ],
    )
    async def test_each_write_of_a_unit_sees_those_before_it(
        self, records: Records, unit: Sequence[Write], number: int, reason: Reason
    ) -> None:
        await records.commit([plain("there", "shelf")])
        conflict = await refused(records, *unit)
        assert conflict.write == unit[number]
        assert conflict.reason == reason
        assert await present(records, "a", "there") == ["there"]

    async def test_a_unit_of_nothing_is_committed(self, records: Records) -> None:
        await records.commit([])

    async def test_the_order_in_a_unit_is_the_order_in_its_list(self, records: Records) -> None:
        names = [f"r{number}" for number in range(200)]
        await records.commit([plain(name, "shelf") for name in names])
        assert await walk(records, "shelf", order="asc") == names


class _Races(_Fixtures):
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


class _Pages(_Fixtures):
    @pytest.fixture
    async def shelf(self, records: Records) -> Records:
        """Records r0 to r9 under `shelf`, with others in between."""
        for number in range(10):
            await records.commit(
                [
                    plain(f"r{number}", "shelf"),
                    plain(f"other {number}", "another shelf"),
                    note(f"r{number}", "shelf"),
                    plain(f"top {number}"),
                ]
            )
        return records

    async def test_a_page_is_the_newest_twenty_first(self, records: Records) -> None:
        await records.commit([plain(f"r{number}") for number in range(25)])
        page = await records.page("plain")
        assert ids(page) == [f"r{number}" for number in range(24, 4, -1)]
        assert page.has_more is True

    async def test_an_empty_list_is_an_empty_page(self, records: Records) -> None:
        page = await records.page("plain", "nowhere")
        assert (list(page.records), page.has_more) == ([], False)

    @pytest.mark.parametrize(("limit", "has_more"), [(9, True), (10, False), (11, False)])
    @pytest.mark.parametrize("order", ["asc", "desc"])
    async def test_has_more_is_true_only_where_there_is(
        self, shelf: Records, limit: int, has_more: bool, order: Order
    ) -> None:
        page = await shelf.page("plain", "shelf", limit=limit, order=order)
        assert (len(page.records), page.has_more) == (min(limit, 10), has_more)

    @pytest.mark.parametrize("limit", [1, 2, 3, 5, 9, 10, 11, 100])
    @pytest.mark.parametrize("order", ["asc", "desc"])
    async def test_a_list_walked_page_by_page_is_whole(
        self, shelf: Records, limit: int, order: Order
    ) -> None:
        expected = [f"r{number}" for number in range(10)]
        if order == "desc":
            expected.reverse()
        assert await walk(shelf, "shelf", limit=limit, order=order) == expected

    @pytest.mark.parametrize(
        ("order", "after", "before", "limit", "expected", "has_more"),
        [
            ("asc", "r3", None, 3, "456", True),
            ("asc", "r6", None, 3, "789", False),
            ("asc", "r9", None, 3, "", False),
            ("desc", "r3", None, 3, "210", False),
            ("desc", "r4", None, 3, "321", True),
            ("asc", None, "r5", 3, "234", True),
            ("asc", None, "r3", 3, "012", False),
            ("asc", None, "r0", 3, "", False),
            ("desc", None, "r5", 3, "876", True),
            ("desc", None, "r6", 3, "987", False),
            ("desc", None, "r9", 3, "", False),
            ("asc", "r2", "r6", 3, "345", False),
            ("asc", "r2", "r7", 3, "345", True),
            ("desc", "r7", "r2", 3, "654", True),
            ("desc", "r6", "r2", 9, "543", False),
            ("asc", "r6", "r2", 3, "", False),
            ("asc", "r2", "r2", 3, "", False),
            ("asc", "r2", "r3", 3, "", False),
        ],
    )
    async def test_cursors_are_exclusive_and_go_by_the_order_asked_for(
        self,
        shelf: Records,
        order: Order,
        after: str | None,
        before: str | None,
        limit: int,
        expected: str,
        has_more: bool,
    ) -> None:
        page = await shelf.page(
            "plain", "shelf", order=order, after=after, before=before, limit=limit
        )
        assert ids(page) == [f"r{digit}" for digit in expected]
        assert page.has_more is has_more

    @pytest.mark.parametrize("order", ["asc", "desc"])
    async def test_a_deleted_cursor_still_works(self, shelf: Records, order: Order) -> None:
        after = ids(await shelf.page("plain", "shelf", order=order, after="r4"))
        before = ids(await shelf.page("plain", "shelf", order=order, before="r4"))
        await shelf.commit([Delete(kind="plain", id="r4")])
        assert ids(await shelf.page("plain", "shelf", order=order, after="r4")) == after
        assert ids(await shelf.page("plain", "shelf", order=order, before="r4")) == before

    async def test_a_cursor_works_when_all_of_its_list_was_deleted(self, shelf: Records) -> None:
        await shelf.commit([Delete(kind="plain", id=f"r{number}") for number in range(10)])
        page = await shelf.page("plain", "shelf", after="r4")
        assert (list(page.records), page.has_more) == ([], False)
        await shelf.commit([plain("new", "shelf")])
        assert ids(await shelf.page("plain", "shelf", order="asc", after="r4")) == ["new"]

    @pytest.mark.parametrize("name", ["after", "before"])
    @pytest.mark.parametrize("id", ["never", "other 3", "top 3", "note", ""])
    async def test_a_cursor_that_was_never_in_the_list_is_unknown(
        self, shelf: Records, name: Literal["after", "before"], id: str
    ) -> None:
        await shelf.commit([note("note", "shelf")])
        await shelf.commit([Delete(kind="plain", id="other 3")])
        after, before = (id, None) if name == "after" else (None, id)
        with pytest.raises(UnknownCursor) as caught:
            await shelf.page("plain", "shelf", after=after, before=before)
        assert (caught.value.name, caught.value.id) == (name, id)

    async def test_a_cursor_inserted_again_goes_by_its_new_place(self, shelf: Records) -> None:
        for _ in range(2):
            await shelf.commit([Delete(kind="plain", id="r4")])
            await shelf.commit([plain("r4", "shelf")])
            assert ids(await shelf.page("plain", "shelf", after="r4", limit=2)) == ["r9", "r8"]
        await shelf.commit([Delete(kind="plain", id="r4")])
        assert ids(await shelf.page("plain", "shelf", after="r4", limit=2)) == ["r9", "r8"]

    async def test_a_cursor_moved_to_another_list_works_in_both(self, shelf: Records) -> None:
        await shelf.commit([Delete(kind="plain", id="r4"), plain("r4", "third shelf")])
        await shelf.commit([plain("r10", "third shelf")])
        assert ids(await shelf.page("plain", "shelf", after="r4", limit=2)) == ["r3", "r2"]
        assert ids(await shelf.page("plain", "third shelf", order="asc", after="r4")) == ["r10"]

    async def test_a_large_list_is_right_at_any_depth(self, opened: Opened) -> None:
        records = opened.store.of("project")
        names = [f"r{number:06}" for number in range(self.many)]
        for start in range(0, self.many, 1000):
            await records.commit([plain(name, "shelf") for name in names[start : start + 1000]])
        deep = self.many // 2
        page = await records.page("plain", "shelf", order="asc", after=names[deep], limit=50)
        assert ids(page) == names[deep + 1 : deep + 51]
        page = await records.page("plain", "shelf", after=names[deep], limit=50)
        assert ids(page) == names[deep - 50 : deep][::-1]
        page = await records.page("plain", "shelf", before=names[deep], limit=50)
        assert ids(page) == names[deep + 1 : deep + 51][::-1]
        assert page.has_more is True
        record = await records.get("plain", names[deep])
        assert record is not None
        scanned = await opened.system.scan("plain", after_seq=record.seq, limit=50)
        assert ids(scanned) == names[deep + 1 : deep + 51]


class _Indexes(_Fixtures):
    @pytest.fixture
    async def notes(self, records: Records) -> Records:
        await records.commit(
            [
                note("a", color="red", owner="ann"),
                note("b", color="red", owner="bob"),
                note("c", color="blue", owner="ann"),
                note("d", color="red"),
                note("e"),
                note("f", "shelf", color="red"),
            ]
        )
        return records

    @pytest.mark.parametrize(
        ("where", "expected"),
        [
            ({}, "abcde"),
            ({"color": "red"}, "abd"),
            ({"color": "blue"}, "c"),
            ({"color": "green"}, ""),
            ({"owner": "ann"}, "ac"),
            ({"color": "red", "owner": "ann"}, "a"),
            ({"owner": "bob", "color": "red"}, "b"),
            ({"color": "blue", "owner": "bob"}, ""),
        ],
    )
    @pytest.mark.parametrize("order", ["asc", "desc"])
    async def test_a_list_can_be_asked_for_by_indexed_names(
        self, notes: Records, where: Mapping[str, str], expected: str, order: Order
    ) -> None:
        found = ids(await notes.page("note", where=where, order=order))
        assert found == (list(expected) if order == "asc" else list(expected)[::-1])

    async def test_pages_by_an_index_have_cursors_too(self, notes: Records) -> None:
        assert await walk(notes, kind="note", where={"color": "red"}, limit=1) == ["d", "b", "a"]
        page = await notes.page("note", where={"color": "red"}, after="c")
        assert ids(page) == ["b", "a"]
        page = await notes.page("note", where={"color": "red"}, before="a", limit=1)
        assert (ids(page), page.has_more) == (["b"], True)

    async def test_values_are_compared_exactly(self, records: Records) -> None:
        values = ["", " ", "Red", "red", "réd", "re'd", 're"d', "re%", "re_", "赤", "1", "01"]
        await records.commit(
            [note(f"r{number}", color=value) for number, value in enumerate(values)]
        )
        for number, value in enumerate(values):
            assert ids(await records.page("note", where={"color": value})) == [f"r{number}"]

    async def test_a_replacement_changes_values_where_it_gives_them(self, notes: Records) -> None:
        await notes.commit(
            [
                Replace(kind="note", id="a", version=1, body=b"new"),
                Replace(kind="note", id="b", version=1, index={"color": "blue"}),
                Replace(kind="note", id="d", version=1, index={}),
            ]
        )
        assert ids(await notes.page("note", where={"color": "red"})) == ["a"]
        assert ids(await notes.page("note", where={"color": "blue"})) == ["c", "b"]
        assert ids(await notes.page("note", where={"owner": "bob"})) == []

    async def test_a_deleted_record_is_found_by_no_value(self, notes: Records) -> None:
        await notes.commit([Delete(kind="note", id="b")])
        assert ids(await notes.page("note", where={"color": "red"})) == ["d", "a"]
        await notes.commit([note("b", color="blue")])
        assert ids(await notes.page("note", where={"color": "red"})) == ["d", "a"]
        assert ids(await notes.page("note", where={"color": "blue"})) == ["b", "c"]

    async def test_what_is_gone_takes_no_place_in_a_page(
        self, opened: Opened, notes: Records
    ) -> None:
        where = {"color": "red"}
        await notes.commit([note(f"deleted {number}", color="red") for number in range(5)])
        await notes.commit([note(f"blank {number}", color="red") for number in range(5)])
        await notes.commit([note(f"cleared {number}", "shelf", color="red") for number in range(5)])
        await notes.commit(
            [
                *(Delete(kind="note", id=f"deleted {number}") for number in range(5)),
                *(
                    Replace(kind="note", id=f"blank {number}", version=1, index={})
                    for number in range(5)
                ),
                Clear(kind="note", parent="shelf"),
                note("new", "shelf", color="red"),
            ]
        )
        page = await notes.page("note", where=where, limit=3)
        assert (ids(page), page.has_more) == (["d", "b", "a"], False)
        page = await notes.page("note", "shelf", where=where, limit=1, order="asc")
        assert (ids(page), page.has_more) == (["new"], False)
        found = await opened.system.scan("note", where=where, limit=4)
        assert ids(found) == ["a", "b", "d", "new"]

    async def test_a_name_that_was_not_declared_is_an_error(
        self, notes: Records, opened: Opened
    ) -> None:
        with pytest.raises(ValueError, match="size"):
            await notes.page("note", where={"size": "1"})
        with pytest.raises(ValueError, match="color"):
            await notes.page("plain", where={"color": "red"})
        with pytest.raises(ValueError, match="size"):
            await opened.system.scan("note", where={"size": "1"})

    async def test_a_write_of_a_name_that_was_not_declared_writes_nothing(
        self, notes: Records
    ) -> None:
        with pytest.raises(ValueError, match="size"):
            await notes.commit([note("g", color="red"), note("h", size="1")])
        with pytest.raises(ValueError, match="size"):
            await notes.commit([Replace(kind="note", id="a", version=1, index={"size": "1"})])
        assert await present(notes, "a", "g", "h", kind="note") == ["a"]
        assert ids(await notes.page("note", where={"color": "red"})) == ["d", "b", "a"]

    async def test_a_kind_with_indexes_must_say_how_to_fill_them(self, opened: Opened) -> None:
        with pytest.raises(ValueError, match="index_of"):
            await opened.store.declare(Kind(name="unfilled", indexes=("color",)))

    async def test_new_names_are_filled_in_for_what_is_stored(self, opened: Opened) -> None:
        one, two = opened.store.of("one"), opened.store.of("two")
        await opened.store.declare(Kind(name="late"))
        bodies = [{"color": "red"}, {"color": "blue"}, {}, {"color": "red", "size": "1"}]
        for records in (one, two):
            await records.commit(
                [
                    plain(str(number), "shelf", kind="late", body=msgspec.json.encode(body))
                    for number, body in enumerate(bodies)
                ]
            )
        index_of = NOTE.index_of
        await opened.store.declare(Kind(name="late", indexes=("color",), index_of=index_of))
        for records in (one, two):
            page = await records.page("late", "shelf", where={"color": "red"}, order="asc")
            assert ids(page) == ["0", "3"]
        await opened.store.declare(Kind(name="late", indexes=("color", "size"), index_of=index_of))
        assert ids(await one.page("late", "shelf", where={"size": "1"})) == ["3"]
        assert ids(await one.page("late", "shelf", where={"color": "blue"})) == ["1"]

    async def test_names_are_filled_in_for_many_records(self, opened: Opened) -> None:
        records = opened.store.of("project")
        count = 2500
        await records.commit(
            [plain(f"r{at}", kind="late", body=b'{"color":"%d"}' % (at % 2)) for at in range(count)]
        )
        await opened.store.declare(Kind(name="late", indexes=("color",), index_of=NOTE.index_of))
        expected = [f"r{at}" for at in range(1, count, 2)]
        where = {"color": "1"}
        assert await walk(records, kind="late", where=where, order="asc", limit=99) == expected

    async def test_a_new_name_changes_no_value_of_another(self, opened: Opened) -> None:
        records = opened.store.of("project")
        await records.commit([note("a", body=b'{"color":"red","size":"1"}')])
        await opened.store.declare(
            Kind(name="note", indexes=("color", "owner", "size"), index_of=NOTE.index_of)
        )
        assert ids(await records.page("note", where={"size": "1"})) == ["a"]
        assert ids(await records.page("note", where={"color": "red"})) == []

    async def test_declaring_again_changes_no_value(self, opened: Opened, notes: Records) -> None:
        await notes.commit([note("g", body=b'{"color":"red"}')])
        await opened.store.declare(PLAIN, NOTE)
        await opened.system.declare(NOTE)
        assert ids(await notes.page("note", where={"color": "red"})) == ["d", "b", "a"]


class _Projects(_Fixtures):
    async def test_nothing_crosses_from_one_project_to_another(self, opened: Opened) -> None:
        one, two = opened.store.of("one"), opened.store.of("two")
        assert (one.project, two.project) == ("one", "two")
        await one.commit([note("a", "shelf", body=b"1", color="red"), note("b", "shelf")])
        assert await two.get("note", "a") is None
        assert ids(await two.page("note", "shelf")) == []
        assert (await refused(two, Guard(kind="note", id="a"))).reason == "missing"
        assert (await refused(two, Replace(kind="note", id="a", version=1))).reason == "missing"
        assert (await refused(two, Delete(kind="note", id="a"))).reason == "missing"
        with pytest.raises(UnknownCursor):
            await two.page("note", "shelf", after="a")
        await two.commit([note("a", "shelf", body=b"2", color="red")])
        await two.commit([Replace(kind="note", id="a", version=1, body=b"3")])
        await two.commit([Clear(kind="note", parent="shelf")])
        record = await one.get("note", "a")
        assert record is not None
        assert (record.body, record.version) == (b"1", 1)
        assert ids(await one.page("note", "shelf", where={"color": "red"})) == ["a"]
        assert ids(await one.page("note", "shelf", after="b")) == ["a"]

    async def test_a_batch_of_several_projects_keeps_them_apart(self, opened: Opened) -> None:
        projects = [opened.store.of(f"p{number}") for number in range(50)]
        await asyncio.gather(
            *(
                records.commit([plain("a", body=records.project.encode()), plain("b")])
                for records in projects
            )
        )
        for records in projects:
            record = await records.get("plain", "a")
            assert record is not None
            assert (record.project, record.body) == (records.project, records.project.encode())
            assert ids(await records.page("plain")) == ["b", "a"]

    async def test_what_one_project_clears_another_may_write_meanwhile(
        self, opened: Opened
    ) -> None:
        one, two = opened.store.of("one"), opened.store.of("two")
        for version in range(1, 20):
            await one.commit([plain("a", "shelf")])
            if version == 1:
                await two.commit([plain("a", "shelf")])
            await asyncio.gather(
                two.commit([Guard(kind="plain", id="a")]),
                one.commit([Guard(kind="plain", id="a"), Clear(kind="plain", parent="shelf")]),
                two.commit([Replace(kind="plain", id="a", version=version)]),
            )
        assert ids(await one.page("plain", "shelf")) == []
        assert ids(await two.page("plain", "shelf")) == ["a"]

    async def test_a_scan_goes_through_every_project_by_seq(self, opened: Opened) -> None:
        for number in range(30):
            await opened.store.of(f"p{number % 4}").commit(
                [plain(str(number), f"parent {number % 3}"), note(str(number))]
            )
        found: list[Record] = []
        while part := await opened.system.scan(
            "plain", after_seq=found[-1].seq if found else 0, limit=7
        ):
            assert len(part) <= 7
            found += part
        assert ids(found) == [str(number) for number in range(30)]
        assert [record.project for record in found] == [f"p{number % 4}" for number in range(30)]
        assert [record.seq for record in found] == sorted({record.seq for record in found})
        assert {record.kind for record in found} == {"plain"}

    async def test_a_scan_can_ask_by_indexed_names(self, opened: Opened) -> None:
        one, two = opened.store.of("one"), opened.store.of("two")
        await one.commit([note("a", color="red", owner="ann"), note("b", "shelf", color="blue")])
        await two.commit([note("a", "shelf", color="red"), note("c", color="red", owner="ann")])
        found = await opened.system.scan("note", where={"color": "red"})
        assert [(record.project, record.id) for record in found] == [
            ("one", "a"),
            ("two", "a"),
            ("two", "c"),
        ]
        both = await opened.system.scan("note", where={"color": "red", "owner": "ann"})
        assert [(record.project, record.id) for record in both] == [("one", "a"), ("two", "c")]
        rest = await opened.system.scan("note", where={"color": "red"}, after_seq=found[0].seq)
        assert ids(rest) == ["a", "c"]
        await two.commit([Delete(kind="note", id="a")])
        assert ids(await opened.system.scan("note", where={"color": "red"})) == ["a", "c"]

    async def test_the_system_view_reaches_any_project(self, opened: Opened) -> None:
        await opened.system.of("one").commit([plain("a")])
        assert await present(opened.store.of("one"), "a") == ["a"]
        assert await present(opened.system.of("two"), "a") == []

    async def test_the_clock_of_the_store_does_not_go_back(self, opened: Opened) -> None:
        first, second = await opened.system.now(), await opened.system.now()
        assert 0 < first <= second


class _Reopening(_Fixtures):
    async def test_everything_is_kept_when_the_store_is_opened_again(
        self, open_store: OpenStore
    ) -> None:
        async with open_store() as opened:
            await opened.store.declare(PLAIN, NOTE)
            records = opened.store.of("project")
            await records.commit(
                [
                    note(name, "shelf", body=b'{"color":"of the body"}', color="red")
                    for name in "abc"
                ]
            )
            await records.commit(
                [
                    Replace(kind="note", id="a", version=1, extra=b"e", shape=4, fence=2),
                    Delete(kind="note", id="b"),
                ]
            )
            await records.commit([note("d", "another shelf", body=b'{"color":"red"}')])
            before = (await records.page("note", "shelf")).records
        async with open_store() as opened:
            await opened.store.declare(PLAIN, NOTE)
            records = opened.store.of("project")
            assert (await records.page("note", "shelf")).records == before
            assert await records.get("note", "a") == before[-1]
            assert ids(await records.page("note", "shelf", where={"color": "red"})) == ["c", "a"]
            assert ids(await records.page("note", "shelf", after="b")) == ["a"]
            assert ids(await records.page("note", "another shelf", where={"color": "red"})) == []
            assert ids(await opened.system.scan("note")) == ["a", "c", "d"]

    async def test_no_seq_is_given_twice_even_if_nothing_is_left_of_the_first(
        self, open_store: OpenStore
    ) -> None:
        seqs = []
        for number in range(3):
            async with open_store() as opened:
                await opened.store.declare(PLAIN)
                records = opened.store.of("project")
                await records.commit([plain(f"r{number}", "shelf")])
                record = await records.get("plain", f"r{number}")
                assert record is not None
                seqs.append(record.seq)
                await records.commit([Clear(kind="plain", parent="shelf")])
        assert seqs == sorted(set(seqs))

    async def test_names_declared_after_opening_again_are_filled_in(
        self, open_store: OpenStore
    ) -> None:
        async with open_store() as opened:
            await opened.store.declare(Kind(name="late"))
            records = opened.store.of("project")
            await records.commit([plain("a", kind="late", body=b'{"color":"red"}')])
        async with open_store() as opened:
            await opened.store.declare(
                Kind(name="late", indexes=("color",), index_of=NOTE.index_of)
            )
            records = opened.store.of("project")
            assert ids(await records.page("late", where={"color": "red"})) == ["a"]

    async def test_what_was_acknowledged_is_there_for_whoever_opens_next(
        self, open_store: OpenStore
    ) -> None:
        names = [f"r{number}" for number in range(100)]
        async with open_store() as opened:
            records = opened.store.of("project")
            await asyncio.gather(*(records.commit([plain(name)]) for name in names))
        async with open_store() as opened:
            assert await present(opened.store.of("project"), *names) == names


class _Walks(_Fixtures):
    walks_max: ClassVar[int] = 100
    """How many random walks the store is compared on."""

    async def test_the_store_does_what_the_model_does(self, open_store: OpenStore) -> None:
        numbers = itertools.count()
        async with open_store() as opened:

            @settings(
                max_examples=self.walks_max,
                deadline=None,
                suppress_health_check=[HealthCheck.too_slow],
            )
            @given(records_model.steps())
            def compare(steps: Sequence[records_model.Step]) -> None:
                # Kinds of its own for each walk, instead of a store of its own.
                number = next(numbers)
                anyio.from_thread.run(_compare, opened, steps, (f"x{number}", f"y{number}"))

            # Hypothesis is no coroutine: it runs in a thread, and each walk back here.
            await anyio.to_thread.run_sync(compare)

    async def test_the_store_does_what_the_model_does_when_opened_again(
        self, open_store: OpenStore
    ) -> None:
        @settings(
            max_examples=max(1, self.walks_max // 10),
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow],
        )
        @given(records_model.steps())
        def compare(steps: Sequence[records_model.Step]) -> None:
            number = next(numbers)
            anyio.from_thread.run(walk_and_reopen, steps, (f"x{number}", f"y{number}"))

        async def walk_and_reopen(
            steps: Sequence[records_model.Step], kinds: tuple[str, str]
        ) -> None:
            async with open_store() as opened:
                model = await _compare(opened, steps, kinds)
            async with open_store() as opened:
                await opened.store.declare(*records_model.kinds_named(*kinds))
                await _compare_all(opened, model)

        numbers = itertools.count()
        await anyio.to_thread.run_sync(compare)


async def _compare(
    opened: Opened, steps: Sequence[records_model.Step], kinds: tuple[str, str]
) -> records_model.Model:
    await opened.store.declare(*records_model.kinds_named(*kinds))
    model = records_model.Model(kinds)
    for step in steps:
        if isinstance(step, records_model.Commit):
            await _compare_commit(opened, model, step)
        else:
            await _compare_page(opened, model, step)
    await _compare_all(opened, model)
    return model


async def _compare_commit(
    opened: Opened, model: records_model.Model, step: records_model.Commit
) -> None:
    unit = model.unit_of(step)
    expected: tuple[Write, Reason] | None = None
    try:
        model.commit(step.project, unit)
    except records_model.Refused as refusal:
        expected = unit[refusal.number], refusal.reason
    found: tuple[Write, Reason] | None = None
    try:
        await opened.store.of(step.project).commit(unit)
    except Conflict as conflict:
        found = conflict.write, conflict.reason
    assert found == expected


async def _compare_page(opened: Opened, model: records_model.Model, ask: records_model.Ask) -> None:
    found: tuple[list[Record], bool] | None = None
    try:
        page = await opened.store.of(ask.project).page(
            model.kinds[ask.kind],
            ask.parent,
            where=ask.where,
            order=ask.order,
            after=ask.after,
            before=ask.before,
            limit=ask.limit,
        )
        found = _unnumbered(page.records), page.has_more
    except UnknownCursor:
        found = None
    expected = model.page(ask)
    assert found == (None if expected is None else (_unnumbered(expected[0]), expected[1]))


async def _compare_all(opened: Opened, model: records_model.Model) -> None:
    for kind in model.kinds:
        scanned = await opened.system.scan(kind, limit=1000)
        assert _unnumbered(scanned) == _unnumbered(model.all_of(kind))
        assert [record.seq for record in scanned] == sorted({record.seq for record in scanned})
        for ask in records_model.every_list(model.kinds.index(kind)):
            await _compare_page(opened, model, ask)
        for project, id in itertools.product(records_model.PROJECTS, records_model.IDS):
            record = await opened.store.of(project).get(kind, id)
            expected = model.get(project, kind, id)
            assert (record is None) == (expected is None)
            if record is not None and expected is not None:
                assert _unnumbered([record]) == _unnumbered([expected])


def _unnumbered(records: Sequence[Record]) -> list[Record]:
    """Numbers may skip, so a store's are compared by their order alone."""
    return [msgspec.structs.replace(record, seq=0) for record in records]


class RecordsConformance(_Writes, _Units, _Races, _Pages, _Indexes, _Projects, _Reopening, _Walks):
    """The promises of RECORDS; see the module for how to run them on a store."""
