from __future__ import annotations

import asyncio
import itertools
import secrets
from collections.abc import Callable, Mapping
from hashlib import sha256
from typing import Any

import msgspec
import pytest

from famulus import Secret
from famulus.testing.records_conformance import OpenStore, RecordsConformance
from famulus_postgres.settings import PostgresSettings
from famulus_schemas.records import (
    Clear,
    Conflict,
    Delete,
    Guard,
    Insert,
    Kind,
    Record,
    Replace,
    StoreUnavailable,
    UnknownCursor,
    Write,
)

pytestmark = pytest.mark.anyio

Open = Callable[..., Any]


class TestPostgres(RecordsConformance):
    several_processes = True

    @pytest.fixture
    def open_store(self, open_postgres: OpenStore) -> OpenStore:
        return open_postgres


class TestPostgresInTheSmall(RecordsConformance):
    """The same promises where batches are small, and some lock out all others."""

    several_processes = True
    many = 2000

    @pytest.fixture
    def open_store(self, open_postgres: Callable[..., Any]) -> OpenStore:
        locks = itertools.cycle([1, 512])
        return lambda: open_postgres(
            units_per_batch_max=2,
            bytes_per_batch_max=100,
            locks_per_batch_max=next(locks),
            pool_max=1,
        )


def insert(id: str, **fields: Any) -> Insert:
    given: dict[str, Any] = {"kind": "note", "created_at": 1, "body": b"{}"} | fields
    return Insert(id=id, **given)


def note(index_of: Callable[[Record], Mapping[str, str]] = lambda record: {}) -> Kind:
    return Kind(name="note", indexes=("color",), index_of=index_of)


async def test_a_name_that_was_not_declared_for_a_while_is_filled_in_again(
    open_postgres: Open,
) -> None:
    with_color = note(lambda record: msgspec.json.decode(record.body, type=dict[str, str]))
    async with open_postgres() as opened:
        records = opened.store.of("p")
        await opened.store.declare(with_color)
        await records.commit([insert("a", body=b'{"color":"red"}', index={"color": "stale"})])
        await opened.store.declare(Kind(name="note"))
        await records.commit([insert("b", body=b'{"color":"red"}')])
        await opened.store.declare(with_color)
        page = await records.page("note", where={"color": "red"})
        assert [record.id for record in page.records] == ["b", "a"]
        assert (await records.page("note", where={"color": "stale"})).records == []


async def test_what_one_process_no_longer_declares_another_still_finds(
    open_postgres: Open,
) -> None:
    async with open_postgres() as newer, open_postgres() as older:
        await newer.store.declare(note())
        await newer.store.of("p").commit([insert("a", index={"color": "red"})])
        await older.store.declare(Kind(name="note"))
        page = await newer.store.of("p").page("note", where={"color": "red"})
        assert [record.id for record in page.records] == ["a"]


async def test_names_filled_in_by_two_processes_at_once_are_filled_in_once(
    open_postgres: Open,
) -> None:
    with_color = note(lambda record: {"color": "red"})
    names = [f"n{number:04}" for number in range(1200)]
    async with open_postgres() as one, open_postgres() as two:
        await one.store.of("p").commit([insert(name) for name in names])
        await asyncio.gather(one.store.declare(with_color), two.store.declare(with_color))
        for opened in (one, two):
            page = await opened.store.of("p").page(
                "note", where={"color": "red"}, order="asc", limit=2000
            )
            assert [record.id for record in page.records] == names


VALUES = ("", "x" * 5000, "x" * 4999 + "y", "a\x00b", "a\x00", "sha256:", "\ud800", "ü" * 200)


async def test_values_that_postgres_cannot_hold_are_compared_exactly_too(
    open_postgres: Open,
) -> None:
    async with open_postgres() as opened:
        await opened.store.declare(note())
        records = opened.store.of("p")
        digest = "sha256:" + sha256(b"a\x00b").hexdigest()
        values = [*VALUES, digest]
        for number, value in enumerate(values):
            await records.commit([insert(str(number), index={"color": value})])
        for number, value in enumerate(values):
            page = await records.page("note", where={"color": value})
            assert [record.id for record in page.records] == [str(number)]


@pytest.mark.parametrize("id", ["a\x00", "\ud800"])
async def test_an_id_that_postgres_cannot_hold_is_refused_and_never_found(
    open_postgres: Open, id: str
) -> None:
    async with open_postgres() as opened:
        records = opened.store.of("p")
        await records.commit([insert("a")])
        with pytest.raises(ValueError, match="cannot store"):
            await records.commit([insert("b"), insert(id)])
        with pytest.raises(ValueError, match="cannot store"):
            await records.commit([insert("b", parent=id)])
        assert await records.get("note", "b") is None
        assert await records.get("note", id) is None
        assert (await records.page("note", id)).records == ()
        for parent in ("", id):
            with pytest.raises(UnknownCursor):
                await records.page("note", parent, after=id)
            with pytest.raises(UnknownCursor):
                await records.page("note", parent, before=id)


async def test_a_unit_that_cannot_be_stored_fails_alone(open_postgres: Open) -> None:
    async with open_postgres() as opened:
        records = opened.store.of("p")
        # No index can hold it, and it cannot be made shorter.
        endless = secrets.token_hex(4000)
        ids = [f"n{number}" for number in range(40)]
        ids[7] = ids[21] = endless
        outcomes = await asyncio.gather(
            *(records.commit([insert(id)]) for id in ids), return_exceptions=True
        )
        assert [type(outcome) for outcome in outcomes if outcome] == [ValueError, ValueError]
        assert isinstance(outcomes[7], ValueError)
        page = await records.page("note", order="asc", limit=100)
        assert {record.id for record in page.records} == set(ids) - {endless}


async def test_units_that_come_too_fast_are_refused_not_piled_up(
    open_postgres: Open,
) -> None:
    async with open_postgres(units_waiting_max=10) as opened:
        records = opened.store.of("p")
        outcomes = await asyncio.gather(
            *(records.commit([insert(f"n{number}")]) for number in range(30)),
            return_exceptions=True,
        )
        refused = [outcome for outcome in outcomes if outcome is not None]
        assert len(refused) == 20
        assert all(isinstance(outcome, StoreUnavailable) for outcome in refused)
        assert "units_waiting_max" in str(refused[0])
        page = await records.page("note", limit=100)
        assert len(page.records) == 10


async def test_what_waits_when_the_store_is_closed_is_still_written(
    open_postgres: Open,
) -> None:
    async with open_postgres(units_per_batch_max=1) as opened:
        records = opened.store.of("p")
        waiting = [
            asyncio.create_task(records.commit([insert(f"n{number}")])) for number in range(30)
        ]
        await asyncio.sleep(0)
    assert [await task for task in waiting] == [None] * 30
    with pytest.raises(StoreUnavailable):
        await records.commit([insert("late")])
    async with open_postgres() as opened:
        page = await opened.store.of("p").page("note", limit=100)
        assert len(page.records) == 30


async def test_two_stores_over_the_same_records_never_run_into_a_deadlock(
    open_postgres: Open,
) -> None:
    names = [f"g{number}" for number in range(8)]
    there = [Guard(kind="note", id=name) for name in names]
    free = [Guard(kind="free", id=name, absent=True) for name in names]

    def units(number: int) -> list[list[Write]]:
        fresh = [insert(f"{number}.{name}", parent=name) for name in names]
        lists = [Clear(kind="note", parent=name) for name in names]
        return [
            [*there, *free, *fresh],
            [*lists, *there, Delete(kind="note", id=names[number % 8]), insert(names[number % 8])],
            [*free, insert(names[-1], kind="free"), Delete(kind="free", id=names[-1]), *there],
        ]

    async with open_postgres() as one, open_postgres() as two:
        await one.store.of("p").commit([insert(name) for name in names])
        for number in range(200):
            forth = units(number)
            back = [list(reversed(unit)) for unit in units(-number - 1)]
            outcomes = await asyncio.gather(
                *(one.store.of("p").commit(unit) for unit in forth),
                *(two.store.of("p").commit(unit) for unit in back),
                return_exceptions=True,
            )
            assert all(o is None or isinstance(o, Conflict) for o in outcomes)
            assert any(outcome is None for outcome in outcomes)
        # A deadlock would have been survived too, but noted.
        assert "postgres_batch_retried" not in one.logged() + two.logged()


async def test_two_stores_that_only_change_records_never_run_into_a_deadlock(
    open_postgres: Open,
) -> None:
    guards = [Guard(kind="note", id=f"g{number}") for number in range(40)]
    async with open_postgres() as one, open_postgres() as two:
        await one.store.of("p").commit([insert(guard.id) for guard in guards])
        for number in range(200):
            chosen = guards[number % 20 :]
            outcomes = await asyncio.gather(
                one.store.of("p").commit(chosen),
                two.store.of("p").commit(chosen[::-1]),
                return_exceptions=True,
            )
            assert list(outcomes) == [None, None]
        assert "postgres_batch_retried" not in one.logged() + two.logged()


async def test_of_two_stores_one_wins_an_id_whatever_list_it_is_for(
    open_postgres: Open,
) -> None:
    async with open_postgres() as one, open_postgres() as two:
        for number in range(100):
            id = f"n{number}"
            outcomes = await asyncio.gather(
                one.store.of("p").commit([insert(id, parent="left")]),
                two.store.of("p").commit([insert(id, parent="right")]),
                return_exceptions=True,
            )
            assert sorted((type(outcome) for outcome in outcomes), key=str) == [
                type(None),
                Conflict,
            ]
        assert "postgres_batch_retried" not in one.logged() + two.logged()


async def test_what_one_store_guards_as_absent_another_does_not_insert_meanwhile(
    open_postgres: Open,
) -> None:
    async with open_postgres() as one, open_postgres() as two:
        for number in range(100):
            left, right = f"left{number}", f"right{number}"
            outcomes = await asyncio.gather(
                one.store.of("p").commit(
                    [Guard(kind="note", id=right, absent=True), insert(left, parent="left")]
                ),
                two.store.of("p").commit(
                    [Guard(kind="note", id=left, absent=True), insert(right, parent="right")]
                ),
                return_exceptions=True,
            )
            assert [type(outcome) for outcome in outcomes].count(Conflict) == 1


def with_parameter(settings: PostgresSettings, parameter: str) -> Secret:
    assert settings.dsn is not None
    dsn = settings.dsn.reveal()
    return Secret(f"{dsn}{'&' if '?' in dsn else '?'}{parameter}")


async def test_an_acknowledged_commit_is_on_disk_even_where_the_database_defaults_to_less(
    open_postgres: Open, settings: PostgresSettings
) -> None:
    dsn = with_parameter(settings, "synchronous_commit=off")
    async with open_postgres(dsn=dsn) as opened:
        session = await opened.database.sessions.open()
        assert await session.fetchval("show synchronous_commit") == "on"
        await session.close()


async def test_promises_do_not_depend_on_the_isolation_that_the_database_defaults_to(
    open_postgres: Open, settings: PostgresSettings
) -> None:
    async with open_postgres() as beside:
        await beside.store.of("p").commit([insert("sum", body=b"0")])
    dsn = with_parameter(settings, "default_transaction_isolation=serializable")
    async with open_postgres(dsn=dsn) as one, open_postgres(dsn=dsn) as two:
        stores = [opened.store.of("p") for opened in (one, two)]
        for version in range(1, 30):
            outcomes = await asyncio.gather(
                *(
                    store.commit([Replace(kind="note", id="sum", version=version)])
                    for store in stores
                ),
                return_exceptions=True,
            )
            assert sum(outcome is None for outcome in outcomes) == 1
        assert one.logged() + two.logged() == []
