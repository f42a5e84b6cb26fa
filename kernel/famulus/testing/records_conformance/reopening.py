"""What is there when a store is opened again."""

from __future__ import annotations

import asyncio

from famulus.testing.records_conformance.notes import NOTE, PLAIN, ids, note, plain, present
from famulus.testing.records_conformance.opening import OpenStore, StoreTests
from famulus_schemas.records import Clear, Delete, Kind, Replace


class ReopeningTests(StoreTests):
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
