"""That all of a project can be counted and removed, and nothing of another with it."""

from __future__ import annotations

import pytest

from famulus.testing.records_conformance.notes import ids, note, plain
from famulus.testing.records_conformance.opening import Opened, StoreTests
from famulus_schemas.records import Clear, Delete, UnknownCursor


class ErasingTests(StoreTests):
    async def test_a_census_counts_what_a_project_has_and_no_more(self, opened: Opened) -> None:
        one, two = opened.store.of("one"), opened.store.of("two")
        await one.commit([plain("a", body=b"12345"), plain("b", extra=b"678"), note("a")])
        await two.commit([plain("a", body=b"of another"), note("b", color="red")])
        found = await opened.system.census("one")
        assert (dict(found.records), dict(found.traces)) == ({"plain": 2, "note": 1}, {})
        assert found.bytes == len(b"12345" + b"{}" + b"678" + b"{}")
        await one.commit([Delete(kind="plain", id="a")])
        found = await opened.system.census("one")
        assert (dict(found.records), dict(found.traces)) == ({"plain": 1, "note": 1}, {"plain": 1})
        await one.commit([Clear(kind="plain", parent=""), Clear(kind="note", parent="")])
        found = await opened.system.census("one")
        assert (dict(found.records), dict(found.traces), found.bytes) == ({}, {}, 0)

    async def test_a_project_is_wiped_part_by_part_until_nothing_is_left(
        self, opened: Opened
    ) -> None:
        one, two = opened.store.of("one"), opened.store.of("two")
        for records in (one, two):
            await records.commit([note(str(n), "shelf", color="red") for n in range(25)])
            await records.commit([plain(str(n)) for n in range(5)])
            await records.commit([Delete(kind="plain", id="3")])
        before = await opened.system.census("two")
        removed = []
        while part := await opened.system.wipe("one", limit=10):
            removed.append(part)
        assert sum(removed) == 25 + 4 + 1
        assert all(part <= 2 * 10 for part in removed)
        left = await opened.system.census("one")
        assert (dict(left.records), dict(left.traces)) == ({}, {})
        assert await opened.system.census("two") == before
        assert await one.get("note", "1") is None
        assert ids(await one.page("note", "shelf", where={"color": "red"})) == []
        with pytest.raises(UnknownCursor):
            await one.page("plain", after="3")
        assert ids(await opened.system.scan("note", where={"color": "red"}, limit=1)) == ["0"]
        assert ids(await two.page("plain", after="3")) == ["2", "1", "0"]

    async def test_kinds_can_be_kept(self, opened: Opened) -> None:
        one = opened.store.of("one")
        await one.commit([plain("a"), plain("b"), note("a", color="red")])
        await one.commit([Delete(kind="plain", id="b")])
        while await opened.system.wipe("one", keep=["plain"]):
            pass
        left = await opened.system.census("one")
        assert (dict(left.records), dict(left.traces)) == ({"plain": 1}, {"plain": 1})

    async def test_a_wiped_project_can_be_written_again(self, opened: Opened) -> None:
        one = opened.store.of("one")
        await one.commit([note("a", "shelf", color="red")])
        while await opened.system.wipe("one"):
            pass
        await opened.system.scrub()
        await one.commit([note("a", "shelf", color="blue")])
        assert ids(await one.page("note", "shelf", where={"color": "blue"})) == ["a"]
        assert ids(await one.page("note", "shelf", where={"color": "red"})) == []
