"""What single writes do, and when they are refused."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
import pytest

from famulus.testing.records_conformance.notes import BODY, GONE, ids, note, plain, present, refused
from famulus.testing.records_conformance.opening import Opened, StoreTests
from famulus_schemas.records import (
    Clear,
    Delete,
    Guard,
    Insert,
    Reason,
    Record,
    Records,
    Replace,
    UnknownCursor,
    Write,
)


class WriteTests(StoreTests):
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

    async def test_clear_of_what_was_seen_is_refused_where_there_is_more(
        self, records: Records
    ) -> None:
        await records.commit([plain("a", "shelf"), plain("b", "shelf"), plain("c", "other")])
        first = await records.get("plain", "a")
        last = await records.get("plain", "b")
        assert first is not None
        assert last is not None
        for until in (0, first.seq):
            clear = Clear(kind="plain", parent="shelf", until=until)
            conflict = await refused(records, plain("d"), clear)
            assert (conflict.write, conflict.reason) == (clear, "exists")
        assert await present(records, "a", "b", "c", "d") == ["a", "b", "c"]
        await records.commit([Clear(kind="plain", parent="shelf", until=last.seq)])
        assert await present(records, "a", "b", "c") == ["c"]
        await records.commit([Clear(kind="plain", parent="shelf", until=0)])

    async def test_clear_of_what_was_seen_minds_what_its_own_unit_did_before(
        self, records: Records
    ) -> None:
        await records.commit([plain("a", "shelf")])
        clear = Clear(kind="plain", parent="shelf", until=0)
        assert (await refused(records, GONE, plain("b", "shelf"), clear)).reason == "exists"
        assert (await refused(records, plain("b", "shelf"), clear)).reason == "exists"
        await records.commit([GONE, clear, plain("b", "shelf")])
        assert ids(await records.page("plain", "shelf")) == ["b"]

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
