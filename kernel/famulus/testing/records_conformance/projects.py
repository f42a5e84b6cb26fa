"""What one project sees of another: nothing. And the view that sees all."""

from __future__ import annotations

import asyncio

import pytest

from famulus.testing.records_conformance.notes import ids, note, plain, present, refused
from famulus.testing.records_conformance.opening import Opened, StoreTests
from famulus_schemas.records import SEQ_MAX, Clear, Delete, Guard, Record, Replace, UnknownCursor


class ProjectTests(StoreTests):
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

    async def test_a_scan_can_go_from_the_newest_to_the_oldest(self, opened: Opened) -> None:
        for number in range(20):
            color = "red" if number % 2 else "blue"
            await opened.store.of(f"p{number % 3}").commit(
                [note(str(number), f"parent {number % 4}", color=color)]
            )
        for where, expected in ({}, range(20)), ({"color": "red"}, range(1, 20, 2)):
            forth = await opened.system.scan("note", where=where)
            assert ids(forth) == [str(number) for number in expected]
            back: list[Record] = []
            while part := await opened.system.scan(
                "note",
                where=where,
                before_seq=back[-1].seq if back else SEQ_MAX,
                order="desc",
                limit=3,
            ):
                assert len(part) <= 3
                back += part
            assert back == list(forth)[::-1]
            low, high = forth[1].seq, forth[-2].seq
            inner = await opened.system.scan("note", where=where, after_seq=low, before_seq=high)
            assert list(inner) == list(forth)[2:-2]

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
