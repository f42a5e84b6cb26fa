"""Lists: their order, their pages and their cursors."""

from __future__ import annotations

from typing import Literal

import pytest

from famulus.testing.records_conformance.notes import ids, note, plain, walk
from famulus.testing.records_conformance.opening import Opened, StoreTests
from famulus_schemas.records import Delete, Order, Records, UnknownCursor


class PageTests(StoreTests):
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
