"""Lists by indexed names, and names that were declared late."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
import pytest

from famulus.testing.records_conformance.notes import NOTE, PLAIN, ids, note, plain, present, walk
from famulus.testing.records_conformance.opening import Opened, StoreTests
from famulus_schemas.records import Clear, Delete, Kind, Order, Records, Replace


class IndexTests(StoreTests):
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
