"""Units: all of it or nothing, each write judged after those before it."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from famulus.testing.records_conformance.notes import GONE, ids, note, plain, present, refused, walk
from famulus.testing.records_conformance.opening import StoreTests
from famulus_schemas.records import (
    Clear,
    Delete,
    Guard,
    Reason,
    Records,
    Replace,
    UnknownCursor,
    Write,
)


class UnitTests(StoreTests):
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
