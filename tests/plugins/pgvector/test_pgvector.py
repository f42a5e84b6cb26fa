"""PostgreSQL with pgvector keeps every promise of VECTORS, for several processes at once."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import pytest
from tests.plugins.large_stores import QUERY, add, filled

from famulus import NoSettings, Plugin, Secret, need
from famulus.lifecycle import BootError
from famulus.testing import conformance_for, kernel_with
from famulus.testing.vectors_conformance import OpenVectors, Shelf, toward
from famulus_pgvector import Pgvector
from famulus_pgvector.migrations import Migration, PgvectorMigrations, Unable
from famulus_pgvector.settings import PgvectorSettings
from famulus_schemas.ports import VECTORS
from famulus_schemas.records import StoreUnavailable
from famulus_schemas.retrieval import Comparison, Vectors

pytestmark = pytest.mark.anyio

EAST = toward(1, 0, 0)
PLAIN = "postgresql://postgres@127.0.0.1:5432/test"
"""A server for tests that lacks pgvector."""


class User(Plugin[NoSettings]):
    """Searches vectors."""

    name = "user"
    vectors = need(VECTORS)


@asynccontextmanager
async def opened(dsn: str, schema: str, **settings: Any) -> AsyncIterator[Vectors]:
    tables = {"pgvector": {"dsn": dsn, "schema": schema, **settings}}
    async with kernel_with("pgvector", "exact_vectors", User, settings=tables) as server:
        assert server.state("pgvector") == ("running", "")
        assert server.state("exact_vectors")[0] == "off"
        health = await server.plugin("pgvector").check_health()
        assert health.status == "ok"
        yield server.plugin("user").vectors


class TestPgvector(conformance_for(VECTORS)):  # type: ignore[misc]
    @pytest.fixture
    def open_vectors(self, dsn: str, schema: str) -> OpenVectors:
        return lambda: opened(dsn, schema)


async def found(
    vectors: Vectors, query: bytes, limit: int = 10, where: Comparison | None = None
) -> list[tuple[str, int]]:
    hits = await vectors.nearest("p", "s", query, where=where, limit=limit)
    return [(hit.document, hit.number) for hit in hits]


async def test_processes_share_what_one_of_them_brought_in(dsn: str, schema: str) -> None:
    shelf = Shelf()
    shelf.put("a", [("apple", EAST)])
    async with opened(dsn, schema) as one, opened(dsn, schema) as two:
        for vectors in (one, two):
            vectors.use(shelf)
        assert await found(one, EAST) == [("a", 0)]
        assert await found(two, EAST) == [("a", 0)]
        assert shelf.reads["entries"] == 1
        shelf.put("b", [("apple", EAST)])
        shelf.take("a")
        assert await found(two, EAST) == [("b", 0)]
        assert await found(one, EAST) == [("b", 0)]
        assert shelf.reads["entries"] == 2


async def test_processes_bring_in_one_after_the_other(dsn: str, schema: str) -> None:
    shelf = Shelf()
    for number in range(5):
        shelf.put(f"{number}", [("apple", EAST)] * 4)
    async with opened(dsn, schema) as one, opened(dsn, schema) as two:
        for vectors in (one, two):
            vectors.use(shelf)
        searches = [found(vectors, EAST, limit=100) for vectors in (one, two, one, two)]
        assert [len(each) for each in await asyncio.gather(*searches)] == [20] * 4
        assert shelf.reads["entries"] <= 10


async def indexed(run: Any) -> list[str]:
    rows = await run(
        "select c.relname from pg_index i join pg_class c on c.oid = i.indexrelid "
        "join pg_namespace n on n.oid = c.relnamespace "
        "where c.relname like 'chunk_near_%' and i.indisvalid and n.nspname = current_schema()"
    )
    return [name for (name,) in rows]


async def test_a_large_store_gets_an_index_and_answers_stay_full(
    dsn: str, schema: str, run: Any
) -> None:
    shelf = filled()
    tenth = Comparison(op="eq", key="tenth", value=True)
    others = Comparison(op="eq", key="tenth", value=False)
    async with opened(dsn, schema) as vectors:
        vectors.use(shelf)
        expected = await found(vectors, QUERY)
        by_filter = await found(vectors, QUERY, where=others)
        assert await indexed(run) == []
    async with opened(dsn, schema, exact_chunks_max=40) as vectors:
        vectors.use(shelf)
        add(shelf, 30)
        shelf.take("30")
        assert await found(vectors, QUERY) == expected
        while not await indexed(run):
            await asyncio.sleep(0.01)
        assert await found(vectors, QUERY) == expected
        assert await found(vectors, QUERY, where=others) == by_filter
        assert len(await found(vectors, QUERY, where=tenth, limit=100)) == 60
        assert len(await found(vectors, QUERY, where=others, limit=10_000)) == 540
        assert len(await found(vectors, QUERY, limit=10_000)) == 600
        shelf.put("new", [("x", QUERY)])
        assert (await found(vectors, QUERY))[0] == ("new", 0)
        shelf.drop()
        assert await found(vectors, QUERY) == []
        while await indexed(run):
            await asyncio.sleep(0.01)
        assert await run("select 1 from chunk") == []


async def test_an_index_is_what_a_large_store_is_searched_by(
    dsn: str, schema: str, run: Any
) -> None:
    shelf = filled()
    async with opened(dsn, schema, exact_chunks_max=40) as vectors:
        vectors.use(shelf)
        await found(vectors, QUERY)
        while not await indexed(run):
            await asyncio.sleep(0.01)
        [name] = await indexed(run)
        assert len(await found(vectors, QUERY)) == 10
    # Counted once the sessions have ended.
    scans = 0
    while not scans:
        await asyncio.sleep(0.01)
        [(scans,)] = await run(
            "select idx_scan from pg_stat_all_indexes where indexrelname = $1"
            " and schemaname = current_schema()",
            name,
        )


async def test_what_a_process_left_half_done_is_begun_anew(dsn: str, schema: str, run: Any) -> None:
    shelf = Shelf()
    shelf.put("a", [("apple", EAST)] * 10)
    shelf.put("b", [("apple", EAST)] * 10)

    async def fail(name: str) -> None:
        if shelf.reads["entries"] == 2:
            raise OSError("no disk")

    async with opened(dsn, schema) as vectors:
        vectors.use(shelf)
        shelf.before_entries = fail
        with pytest.raises(StoreUnavailable):
            await found(vectors, EAST)
    assert len(await run("select 1 from chunk")) == 10
    shelf.before_entries = None
    async with opened(dsn, schema) as vectors:
        vectors.use(shelf)
        assert len(await found(vectors, EAST, limit=100)) == 20


async def test_a_database_of_a_later_version_is_refused(dsn: str, schema: str) -> None:
    settings = PgvectorSettings(dsn=Secret(dsn), schema=schema)
    later = PgvectorMigrations(
        settings, steps=[Migration("one", "select 1"), Migration("two", "select 2")]
    )
    assert await later.pending() == ["one", "two"]
    assert await later.apply() == ["one", "two"]
    assert await later.pending() == []
    with pytest.raises(Unable, match="has form 2, and this version of the server knows up to 1"):
        await PgvectorMigrations(settings).apply()


async def test_a_server_that_lacks_pgvector_is_told_what_to_install(schema: str) -> None:
    try:
        connection = await asyncpg.connect(PLAIN, timeout=5)
    except (OSError, asyncpg.PostgresError):
        pytest.skip("NO POSTGRESQL: there is none for tests on 127.0.0.1:5432")
    lacks = await connection.fetchval(
        "select not exists (select from pg_available_extensions where name = 'vector')"
    )
    await connection.close()
    if not lacks:
        pytest.skip("NOT TESTED: the server on 127.0.0.1:5432 has pgvector")
    with pytest.raises(BootError, match="the database's server lacks pgvector: install it there"):
        async with opened(PLAIN, schema):
            pass


@pytest.mark.parametrize("dsn", ["postgresql://a:hunter2@127.0.0.1:1/x", "hunter2", "x://hunter2"])
async def test_what_cannot_be_reached_is_said_to_be_so_and_no_password_shown(dsn: str) -> None:
    reason = ""
    try:
        async with kernel_with("pgvector", User, settings={"pgvector": {"dsn": dsn}}) as server:
            state, reason = server.state("pgvector")
            assert state == "failed"
            assert "PostgreSQL cannot be used" in reason
    except BootError as error:
        reason = str(error)
        assert "postgresql://user:password@host:port/database" in reason
    assert reason
    assert "hunter2" not in reason


def test_it_is_off_until_there_is_a_database() -> None:
    assert Pgvector.off_because(PgvectorSettings()) == "no dsn is set"
    assert Pgvector.off_because(PgvectorSettings(dsn=Secret("postgresql://"))) is None


async def test_without_the_driver_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "asyncpg", None)
    with pytest.raises(BootError) as refused:
        async with opened("postgresql://x", "x"):
            pass
    assert 'pip install "famulus[postgres]"' in str(refused.value)
