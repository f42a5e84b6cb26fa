from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any, ClassVar

import pytest

from famulus import NoSettings, Plugin, need
from famulus.lifecycle import BootError
from famulus.testing import kernel_with, make_kernel
from famulus_schemas.ports import RECORDS
from famulus_schemas.records import Insert
from famulus_sqlite import Sqlite

pytestmark = pytest.mark.anyio


class Notes(Plugin[NoSettings]):
    name: ClassVar[str] = "notes"
    records = need(RECORDS)
    system = need(RECORDS.system)


async def write_and_read(server: Any) -> str:
    notes = server.plugin("notes")
    records = notes.records.of("project")
    await records.commit([Insert(kind="note", id="a", created_at=1, body=b"{}")])
    return ",".join(record.project for record in await notes.system.scan("note"))


async def test_another_plugin_writes_by_one_port_and_reads_by_the_other(tmp_path: Path) -> None:
    async with kernel_with(Sqlite, Notes, data_dir=tmp_path) as server:
        assert await write_and_read(server) == "project"
    assert len(list(tmp_path.rglob("famulus.sqlite3"))) == 1


async def test_records_outlive_the_server(tmp_path: Path) -> None:
    async with kernel_with(Sqlite, Notes, data_dir=tmp_path) as server:
        await write_and_read(server)
    async with kernel_with(Sqlite, Notes, data_dir=tmp_path) as server:
        record = await server.plugin("notes").records.of("project").get("note", "a")
        assert record is not None
        assert record.body == b"{}"


async def test_the_database_is_where_the_path_says(tmp_path: Path) -> None:
    path = tmp_path / "elsewhere.sqlite3"
    async with kernel_with(Sqlite, Notes, settings={"sqlite": {"path": str(path)}}) as server:
        await write_and_read(server)
    connection = sqlite3.connect(path)
    assert connection.execute("select id from record").fetchall() == [("a",)]
    connection.close()


async def test_a_second_server_on_the_same_file_does_not_start_and_says_why(tmp_path: Path) -> None:
    async with kernel_with(Sqlite, Notes, data_dir=tmp_path):
        with pytest.raises(BootError, match=r"plugin sqlite is failed: .* is in use by process"):
            await make_kernel(Sqlite, Notes, data_dir=tmp_path).start()


async def test_the_stores_health_is_the_servers(tmp_path: Path) -> None:
    async with kernel_with(Sqlite, Notes, data_dir=tmp_path) as server:
        plugin = server.plugin("sqlite")
        assert (await plugin.check_health()).status == "ok"
    assert (await plugin.check_health()).status == "down"


async def test_the_command_line_migrates_the_same_file(tmp_path: Path) -> None:
    async with kernel_with(Sqlite, Notes, data_dir=tmp_path) as server:
        (migrations,) = server.plugin("sqlite").register_migrations()
        assert migrations.owner == "sqlite"
        assert await migrations.pending() == []
