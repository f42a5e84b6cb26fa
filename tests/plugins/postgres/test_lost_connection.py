"""A connection that is lost, at whatever moment, makes nobody be told what is not so."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from typing import Any

import pytest
from tests.plugins.postgres.relay import Break, Line

from famulus_postgres.failures import OutcomeUnknown
from famulus_schemas.records import Insert, Record, Records, Replace, StoreUnavailable

pytestmark = pytest.mark.anyio

Open = Callable[..., Any]


def one(id: str, kind: str = "k") -> Insert:
    return Insert(kind=kind, id=id, created_at=1, body=b"{}")


async def until(is_so: Callable[[], bool]) -> None:
    """Wait for something that is to happen; the test's own time limit ends a vain wait."""
    while not is_so():
        await asyncio.sleep(0.005)


async def every(records: Records, kind: str) -> list[Record]:
    return list((await records.page(kind, order="asc", limit=100_000)).records)


@pytest.mark.parametrize("how", [Break.BEFORE, Break.SILENT])
async def test_a_commit_that_never_reached_the_server_is_made_again(
    open_postgres: Open, line: Line, how: Break
) -> None:
    async with open_postgres(dsn=line.dsn) as opened:
        records = opened.store.of("p")
        await records.commit([one("a")])
        line.next_break = how
        await records.commit([one("b"), Replace(kind="k", id="a", version=1, body=b"2")])
        assert line.breaks == 1
        assert opened.logged()[-2:] == ["postgres_commit_in_doubt", "postgres_batch_retried"]
        assert [(r.id, r.version) for r in await every(records, "k")] == [("a", 2), ("b", 1)]


async def test_a_commit_whose_answer_was_lost_is_not_made_again(
    open_postgres: Open, line: Line
) -> None:
    async with open_postgres(dsn=line.dsn) as opened:
        records = opened.store.of("p")
        await records.commit([one("a")])
        line.next_break = Break.AFTER
        # Made again, the insertion would be refused.
        await records.commit([one("b"), Replace(kind="k", id="a", version=1, body=b"2")])
        assert line.breaks == 1
        assert opened.logged()[-1:] == ["postgres_commit_in_doubt"]
        assert [(r.id, r.version) for r in await every(records, "k")] == [("a", 2), ("b", 1)]


@pytest.mark.parametrize(("how", "is_there"), [(Break.BEFORE, False), (Break.AFTER, True)])
async def test_a_commit_that_cannot_be_asked_about_is_neither_a_success_nor_a_failure(
    open_postgres: Open, line: Line, how: Break, is_there: bool
) -> None:
    async with open_postgres(dsn=line.dsn, outcome_s=0.2) as opened:
        records = opened.store.of("p")
        await records.commit([one("a")])
        line.next_break, line.goes_down_at_break = how, True
        with pytest.raises(OutcomeUnknown):
            await records.commit([one("b")])
        line.is_down = line.goes_down_at_break = False
        await until(lambda: "postgres_back" in opened.logged())
        assert (await records.get("k", "b") is not None) is is_there


async def test_a_store_that_is_closed_while_a_commit_is_in_doubt_says_that_it_is(
    open_postgres: Open, line: Line
) -> None:
    async with open_postgres(dsn=line.dsn, close_s=0.1) as opened:
        records = opened.store.of("p")
        await records.commit([one("a")])
        line.next_break, line.goes_down_at_break = Break.AFTER, True
        in_doubt = asyncio.create_task(records.commit([one("b")]))
        await until(lambda: "postgres_commit_in_doubt" in opened.logged())
    with pytest.raises(OutcomeUnknown):
        await in_doubt


async def test_a_connection_that_was_idle_for_long_is_not_written_on(open_postgres: Open) -> None:
    async with open_postgres(pool_idle_s=0.001) as opened, open_postgres() as beside:
        records = opened.store.of("p")
        sessions = set()
        for number in range(3):
            await asyncio.sleep(0.005)
            await records.commit([one(f"n{number}", f"kind{number}")])
            sessions |= {
                process
                for (process,) in await beside.database.reader.fetch(
                    "select pid from pg_stat_activity"
                    " where application_name = current_schema() and pid <> pg_backend_pid()"
                )
            }
        assert len(sessions) >= 3


async def test_while_a_commit_is_in_doubt_nobody_else_is_kept_waiting(
    open_postgres: Open, line: Line
) -> None:
    async with open_postgres(dsn=line.dsn) as opened:
        records = opened.store.of("p")
        await records.commit([one("a")])
        line.next_break, line.goes_down_at_break = Break.AFTER, True
        in_doubt = asyncio.create_task(records.commit([one("b")]))
        await until(lambda: "postgres_commit_in_doubt" in opened.logged())
        with pytest.raises(StoreUnavailable):
            await records.commit([one("c")])
        assert not in_doubt.done()
        line.is_down = line.goes_down_at_break = False
        await in_doubt
        assert [record.id for record in await every(records, "k")] == ["a", "b"]


async def test_a_store_whose_server_is_gone_says_so_and_comes_back_by_itself(
    open_postgres: Open, line: Line
) -> None:
    async with open_postgres(dsn=line.dsn) as opened:
        records = opened.store.of("p")
        await records.commit([one("a")])
        assert (await opened.database.health()).status == "ok"
        line.cut_all()
        with pytest.raises(StoreUnavailable):
            await records.commit([one("b")])
        with pytest.raises(StoreUnavailable):
            await records.get("k", "a")
        assert (await opened.database.health()).status == "down"
        line.is_down = False
        await until(lambda: "postgres_back" in opened.logged())
        await records.commit([one("c")])
        assert (await opened.database.health()).status == "ok"
        assert [record.id for record in await every(records, "k")] == ["a", "c"]


async def test_a_read_on_a_connection_that_died_unseen_is_made_on_another(
    open_postgres: Open, line: Line
) -> None:
    async with open_postgres(dsn=line.dsn, pool_max=1) as opened:
        records = opened.store.of("p")
        await records.commit([one("a")])
        assert await records.get("k", "a") is not None
        line.cut_all()
        line.is_down = False
        assert await records.get("k", "a") is not None


async def test_connections_ended_by_the_server_under_load_lose_nothing_and_invent_nothing(
    open_postgres: Open, run: Any, settings: Any
) -> None:
    acknowledged: set[str] = set()
    refused: set[str] = set()
    is_over = False

    async def write(records: Records, worker: int) -> None:
        for number in itertools.count():
            if is_over:
                return
            id = f"{worker}.{number}"
            try:
                await records.commit([one(id, "one"), one(id, "other")])
            except StoreUnavailable:
                refused.add(id)
                await asyncio.sleep(0.005)
            else:
                acknowledged.add(id)

    async def end_connections() -> None:
        for _ in range(20):
            enough = len(acknowledged) + 50
            await until(lambda: len(acknowledged) >= enough)  # noqa: B023
            await run(
                "select pg_terminate_backend(pid) from pg_stat_activity"
                " where application_name = $1",
                settings.schema,
            )

    async with open_postgres() as opened:
        records = opened.store.of("p")
        workers = [asyncio.create_task(write(records, worker)) for worker in range(16)]
        await end_connections()
        is_over = True
        await asyncio.gather(*workers)
        assert {"postgres_batch_retried", "postgres_commit_in_doubt"} & set(opened.logged())
        ones = {record.id for record in await every(records, "one")}
        others = {record.id for record in await every(records, "other")}
    assert ones == others == acknowledged
    assert not ones & refused


async def test_a_process_frozen_in_a_transaction_does_not_stop_the_others_for_long(
    open_postgres: Open,
) -> None:
    async with open_postgres(transaction_idle_s=0.2) as opened, open_postgres() as beside:
        records = opened.store.of("p")
        await records.commit([one("a")])
        frozen = await opened.database.sessions.open()
        await frozen.execute("begin")
        await frozen.execute("select 1 from record for update")
        await beside.store.of("p").commit([Replace(kind="k", id="a", version=1, body=b"2")])
        await until(frozen.is_closed)
