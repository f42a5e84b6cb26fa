from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from famulus import Plugin, Secret, need
from famulus.lifecycle import BootError
from famulus.plugin import NoSettings
from famulus.testing.kit import kernel_with
from famulus_postgres import Postgres
from famulus_postgres.settings import PostgresSettings
from famulus_schemas.ports import RECORDS
from famulus_schemas.records import Insert

pytestmark = pytest.mark.anyio


class Notes(Plugin[NoSettings]):
    """Writes one record and reads it."""

    name = "notes"
    records = need(RECORDS)
    system = need(RECORDS.system)


def table(dsn: str, schema: str = "famulus") -> dict[str, dict[str, Any]]:
    return {"postgres": {"dsn": dsn, "schema": schema, "connect_s": 1.0}}


async def test_the_plugin_serves_records_to_others(settings: PostgresSettings) -> None:
    assert settings.dsn is not None
    tables = table(settings.dsn.reveal(), settings.schema)
    async with kernel_with(Postgres, Notes, settings=tables) as server:
        assert server.state("postgres")[0] == "running"
        notes: Notes = server.plugin("notes")
        await notes.records.of("p").commit([Insert(kind="k", id="a", created_at=1, body=b"{}")])
        assert [record.id for record in await notes.system.scan("k")] == ["a"]
        health = await server.plugin("postgres").check_health()
        assert health.status == "ok"


async def test_a_server_that_does_not_answer_fails_the_plugin_and_is_named() -> None:
    tables = table("postgresql://someone:hunter2@127.0.0.1:1/nowhere")
    async with kernel_with(Postgres, Notes, settings=tables) as server:
        state, reason = server.state("postgres")
        assert state == "failed"
        assert "127.0.0.1:1, database nowhere" in reason
        assert "hunter2" not in reason
        assert server.state("notes")[0] == "blocked"
        health = await server.plugin("postgres").check_health()
        assert health.status == "down"


@pytest.mark.parametrize(
    "dsn",
    [
        "postgresql://someone:hunter2/x@127.0.0.1:5432/test",
        "postgresql://someone@127.0.0.1:hunter2/test",
        "postgresql://someone:hunter2@127.0.0.1:5432/test?sslmode=perhaps",
        "mysql://someone:hunter2@127.0.0.1/test",
        "hunter2",
    ],
)
async def test_a_dsn_that_cannot_be_read_is_explained_and_not_shown(dsn: str) -> None:
    with pytest.raises(BootError) as refused:
        async with kernel_with(Postgres, settings=table(dsn)):
            pass
    reason = str(refused.value)
    assert reason.startswith("plugin postgres is failed: ")
    assert "postgresql://user:password@host:port/database" in reason
    assert "hunter2" not in reason


def test_the_plugin_is_off_until_there_is_a_database() -> None:
    assert Postgres.off_because(PostgresSettings()) == "no dsn is set"
    assert Postgres.off_because(PostgresSettings(dsn=Secret("postgresql://"))) is None


async def test_the_migrations_are_there_for_the_command_line(settings: PostgresSettings) -> None:
    assert settings.dsn is not None
    tables = table(settings.dsn.reveal(), settings.schema)
    async with kernel_with(Postgres, settings=tables) as server:
        (migrations,) = server.plugin("postgres").register_migrations()
        assert migrations.owner == "postgres"
        assert await migrations.pending() == []


WITHOUT_DRIVER = """
import asyncio, sys
sys.modules["asyncpg"] = None
from famulus.lifecycle import BootError
from famulus.testing.kit import kernel_with
from famulus_postgres import Postgres

async def main():
    table = {"postgres": {"dsn": "postgresql://127.0.0.1/x"}}
    try:
        async with kernel_with(Postgres, settings=table):
            print("it runs")
    except BootError as refusal:
        print(refusal)

asyncio.run(main())
"""


def test_without_its_driver_the_plugin_can_be_imported_and_says_what_to_install() -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_DRIVER], capture_output=True, text=True, check=False
    )
    reason = done.stdout.strip()
    assert reason.startswith("plugin postgres is failed: "), done.stderr
    assert reason.endswith('asyncpg is not installed: pip install "famulus[postgres]"')
