"""`famulus erase` has nothing in the tables of pgvector, and leaves all that is of others."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.everywhere import found_in_tables
from tests.isolation.tenants import Tenant
from tests.plugins.retention import erasing
from tests.plugins.retention.erasing import (
    GONE,
    STAYS,
    belongings,
    filled,
    serving,
    tenant,
)

from famulus.testing import ScriptedBackend, TestServer

pytestmark = pytest.mark.anyio


@pytest.fixture
def variables(dsn: str, schema: str) -> Mapping[str, str]:
    """What has a command use the test's schema."""
    return {"FAMULUS_PGVECTOR__DSN": dsn, "FAMULUS_PGVECTOR__SCHEMA": schema}


@asynccontextmanager
async def served(
    folder: Path, dsn: str, schema: str
) -> AsyncIterator[tuple[TestServer, ScriptedBackend]]:
    # An index is built for what has more than one chunk.
    pgvector = {"dsn": dsn, "schema": schema, "exact_chunks_max": 1}
    async with serving(folder, "pgvector", pgvector=pgvector) as (server, backend):
        assert server.state("pgvector") == ("running", "")
        yield server, backend


async def test_nothing_of_an_erased_project_is_in_any_table(
    dsn: str, schema: str, variables: Mapping[str, str], tmp_path: Path, run: Any
) -> None:
    async with served(tmp_path, dsn, schema) as (server, backend):
        for project, mark in (("one", GONE), ("other", STAYS)):
            await filled(await tenant(server, backend, project, mark), waits=False)
    assert set(await found_in_tables(dsn, schema, [GONE])) != set()
    kept = await found_in_tables(dsn, schema, [STAYS])

    result = await erasing.run(
        tmp_path, "erase", "project", "one", "--yes", "--json", variables=variables
    )

    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert (told["before"]["vectors"], told["after"]) == (1, {})
    assert await found_in_tables(dsn, schema, [GONE]) == []
    assert await found_in_tables(dsn, schema, [STAYS]) == kept
    [(stores, documents, chunks)] = await run(
        "select (select count(*) from store), (select count(*) from document), "
        "(select count(*) from chunk)"
    )
    assert (stores, documents, chunks) == (1, 1, 1)


async def test_an_index_goes_with_the_store_whose_it_is(
    dsn: str, schema: str, variables: Mapping[str, str], tmp_path: Path, run: Any
) -> None:
    async def indexed() -> set[str]:
        rows = await run("select indexname from pg_indexes where schemaname = $1", schema)
        return {name for (name,) in rows if name.startswith("chunk_near_")}

    async with served(tmp_path, dsn, schema) as (server, backend):
        one = await tenant(server, backend, "one", GONE)
        store = (await one.made("/vector_stores", {"name": GONE}))["id"]
        await two_files(one, store)
        while not await indexed():
            await one.made(f"/vector_stores/{store}/search", {"query": GONE})
    result = await erasing.run(tmp_path, "erase", "project", "one", "--yes", variables=variables)
    assert result.exit_code == 0, result.output
    assert await indexed() == set()


async def two_files(owner: Tenant, store: str) -> None:
    for number in range(2):
        files = {"file": (f"{number}.txt", f"{owner.mark} {number}".encode())}
        file = await owner.made("/files", data={"purpose": "assistants"}, files=files)
        where = f"/vector_stores/{store}/files"
        await owner.made(where, {"file_id": file["id"]})
        await owner.settled(f"{where}/{file['id']}", "completed")


async def test_nothing_of_an_erased_person_is_in_any_table_also_of_the_stores_of_others(
    dsn: str, schema: str, variables: Mapping[str, str], tmp_path: Path
) -> None:
    async with served(tmp_path, dsn, schema) as (server, backend):
        owner = await tenant(server, backend, "default", GONE)
        await belongings(owner, "42")
        owner.mark = STAYS
        others = await belongings(owner, "43")
        files = {"file": (f"{GONE}.txt", GONE.encode())}
        file = await owner.made("/files", data={"purpose": "assistants"}, files=files)
        attachment = {"file_id": file["id"], "tools": [{"type": "file_search"}]}
        message = {"role": "user", "content": GONE, "attachments": [attachment]}
        theirs = {**message, "metadata": {"user_id": "42"}}
        await owner.made(f"/threads/{others['thread']}/messages", theirs)
        store = f"/vector_stores/{others['store']}"
        await owner.settled(f"{store}/files/{file['id']}", "completed")
        found = await owner.made(f"{store}/search", {"query": GONE})
        assert file["id"] in [each["file_id"] for each in found["data"]]
    assert len(await found_in_tables(dsn, schema, [GONE])) == 2
    kept = await found_in_tables(dsn, schema, [STAYS])

    result = await erasing.run(
        tmp_path, "erase", "user", "user_id=42", "--yes", variables=variables
    )

    assert result.exit_code == 0, result.output
    assert await found_in_tables(dsn, schema, [GONE]) == []
    assert await found_in_tables(dsn, schema, [STAYS]) == kept
