from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import asyncpg
import msgspec
import pytest

from famulus import Secret
from famulus_postgres.migrations import (
    MIGRATIONS,
    DatabaseTooNew,
    Migration,
    PostgresMigrations,
)
from famulus_postgres.settings import PostgresSettings
from famulus_schemas.records import Insert, StoreUnavailable

pytestmark = pytest.mark.anyio

TITLES = [step.title for step in MIGRATIONS]
LATER = (*MIGRATIONS, Migration("a later step", "create table later (one int)"))
BROKEN = (*LATER, Migration("a broken step", "create table half (one int); select nonsense"))


async def test_a_new_database_lacks_every_step_and_then_none(settings: PostgresSettings) -> None:
    migrations = PostgresMigrations(settings)
    assert await migrations.pending() == TITLES
    assert await migrations.apply() == TITLES
    assert await migrations.pending() == []
    assert await migrations.apply() == []


async def test_asking_what_is_pending_changes_nothing(settings: PostgresSettings, run: Any) -> None:
    await PostgresMigrations(settings).pending()
    assert await run("select to_regnamespace($1) is null", settings.schema) == [(True,)]


async def test_of_several_that_start_at_once_one_migrates(settings: PostgresSettings) -> None:
    applied = await asyncio.gather(*(PostgresMigrations(settings).apply() for _ in range(6)))
    assert sorted(map(list, applied)) == [[]] * 5 + [TITLES]


async def test_several_stores_may_start_at_once_on_a_new_database(
    open_postgres: Callable[..., Any],
) -> None:
    async def start(number: int) -> None:
        async with open_postgres() as opened:
            await opened.store.of("p").commit(
                [Insert(kind="k", id=f"n{number}", created_at=1, body=b"{}")]
            )

    await asyncio.gather(*(start(number) for number in range(4)))
    async with open_postgres() as opened:
        assert len((await opened.store.of("p").page("k")).records) == 4


async def test_an_older_database_gets_what_it_lacks_and_keeps_what_it_has(
    settings: PostgresSettings, open_postgres: Callable[..., Any]
) -> None:
    async with open_postgres() as opened:
        await opened.store.of("p").commit([Insert(kind="k", id="a", created_at=1, body=b"1")])
    later = PostgresMigrations(settings, steps=LATER)
    assert await later.pending() == ["a later step"]
    assert await later.apply() == ["a later step"]


async def test_a_newer_database_is_refused_and_left_alone(
    settings: PostgresSettings, open_postgres: Callable[..., Any]
) -> None:
    await PostgresMigrations(settings, steps=LATER).apply()
    says = f"schema {settings.schema} .* has form 2, and .* knows up to 1: install the later"
    with pytest.raises(DatabaseTooNew, match=says):
        await PostgresMigrations(settings).pending()
    with pytest.raises(DatabaseTooNew, match=says):
        await PostgresMigrations(settings).apply()
    with pytest.raises(DatabaseTooNew, match=says):
        async with open_postgres():
            pass
    assert await PostgresMigrations(settings, steps=LATER).pending() == []


async def test_a_step_that_fails_leaves_the_database_as_it_was(
    settings: PostgresSettings, run: Any
) -> None:
    await PostgresMigrations(settings).apply()
    with pytest.raises(asyncpg.UndefinedColumnError):
        await PostgresMigrations(settings, steps=BROKEN).apply()
    assert await PostgresMigrations(settings, steps=BROKEN).pending() == [
        "a later step",
        "a broken step",
    ]
    assert await run("select to_regclass('later') is null and to_regclass('half') is null") == [
        (True,)
    ]


async def test_a_schema_that_was_made_beforehand_is_used(
    settings: PostgresSettings, run: Any
) -> None:
    await run(f"create schema {settings.schema}")
    assert await PostgresMigrations(settings).apply() == TITLES


async def test_two_schemas_of_one_database_do_not_see_each_other(
    settings: PostgresSettings, open_postgres: Callable[..., Any], run: Any
) -> None:
    other = settings.schema + "_b"
    try:
        async with open_postgres() as one, open_postgres(schema=other) as two:
            await one.store.of("p").commit([Insert(kind="k", id="a", created_at=1, body=b"1")])
            assert await two.store.of("p").get("k", "a") is None
            await two.store.of("p").commit([Insert(kind="k", id="a", created_at=1, body=b"2")])
            record = await one.store.of("p").get("k", "a")
            assert record is not None
            assert record.body == b"1"
    finally:
        await run(f"drop schema if exists {other} cascade")


async def test_a_database_that_does_not_answer_is_named(settings: PostgresSettings) -> None:
    dsn = Secret("postgresql://someone:hunter2@127.0.0.1:1/nowhere")
    changed = msgspec.structs.replace(settings, dsn=dsn)
    with pytest.raises(StoreUnavailable, match=r"127\.0\.0\.1:1, database nowhere") as caught:
        await PostgresMigrations(changed).apply()
    assert "hunter2" not in str(caught.value)
