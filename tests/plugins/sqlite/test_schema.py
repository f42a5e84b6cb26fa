from __future__ import annotations

import sqlite3
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from famulus_sqlite.errors import DatabaseError, DatabaseInUse, DatabaseTooNew
from famulus_sqlite.migrations import SqliteMigrations
from famulus_sqlite.schema import MIGRATIONS
from famulus_sqlite.settings import SqliteSettings

pytestmark = pytest.mark.anyio

Open = Callable[..., Any]
TITLES = [migration.title for migration in MIGRATIONS]


@contextmanager
def raw(path: Path) -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(path)
    with connection:
        yield connection
    connection.close()


@pytest.fixture
def migrations(path: Path) -> SqliteMigrations:
    return SqliteMigrations(path, SqliteSettings(), clock=lambda: 5.0)


async def test_a_newer_database_is_refused_and_left_alone(open_sqlite: Open, path: Path) -> None:
    async with open_sqlite():
        pass
    with raw(path) as connection:
        connection.execute("update meta set value = 99 where name = 'schema'")
    before = path.read_bytes()
    with pytest.raises(DatabaseTooNew, match=rf"{path} has form 99, and .* up to {len(TITLES)}"):
        async with open_sqlite():
            pass
    assert path.read_bytes() == before


async def test_another_programs_database_is_refused_and_left_alone(
    open_sqlite: Open, path: Path
) -> None:
    with raw(path) as connection:
        connection.execute("create table bookmarks (url text)")
    before = path.read_bytes()
    with pytest.raises(DatabaseError, match="not one of this server's"):
        async with open_sqlite():
            pass
    assert path.read_bytes() == before


async def test_a_file_that_is_no_database_is_refused_and_left_alone(
    open_sqlite: Open, path: Path
) -> None:
    text = "a diary, and nothing to write over\n" * 100
    path.write_text(text)
    with pytest.raises(DatabaseError, match="cannot be read as a SQLite database"):
        async with open_sqlite():
            pass
    assert path.read_text() == text


async def test_a_missing_folder_is_named(open_sqlite: Open, tmp_path: Path) -> None:
    with pytest.raises(DatabaseError, match=f"the folder {tmp_path / 'not there'} "):
        async with open_sqlite(tmp_path / "not there" / "records.sqlite3"):
            pass


async def test_a_folder_in_place_of_the_file_is_named(open_sqlite: Open, path: Path) -> None:
    path.mkdir()
    with pytest.raises(DatabaseError, match="Is a directory"):
        async with open_sqlite():
            pass


async def test_the_database_is_its_owners_alone(open_sqlite: Open, path: Path) -> None:
    async with open_sqlite():
        for file in path.parent.iterdir():
            assert stat.S_IMODE(file.stat().st_mode) == 0o600, file


async def test_odd_characters_in_the_path_are_only_characters(
    open_sqlite: Open, tmp_path: Path
) -> None:
    folder = tmp_path / "a b?mode=memory&c#d%20é"
    folder.mkdir()
    async with open_sqlite(folder / "x.sqlite3"):
        assert (folder / "x.sqlite3").stat().st_size > 0


async def test_a_new_database_has_everything_pending_until_it_is_applied(
    migrations: SqliteMigrations, path: Path
) -> None:
    assert await migrations.pending() == TITLES
    assert not path.exists()
    assert await migrations.apply() == TITLES
    assert await migrations.pending() == []
    assert await migrations.apply() == []


async def test_a_store_that_opens_applies_what_is_pending(
    open_sqlite: Open, migrations: SqliteMigrations
) -> None:
    async with open_sqlite():
        assert await migrations.pending() == []
        assert await migrations.apply() == []


async def test_migrations_are_not_applied_beside_a_running_server(
    open_sqlite: Open, migrations: SqliteMigrations, path: Path
) -> None:
    async with open_sqlite() as opened:
        await opened.database.transactions.run(
            lambda connection: connection.execute("delete from meta where name = 'schema'")
        )
        with pytest.raises(DatabaseInUse):
            await migrations.apply()


async def test_pending_says_that_a_database_is_too_new(
    migrations: SqliteMigrations, path: Path
) -> None:
    await migrations.apply()
    with raw(path) as connection:
        connection.execute("update meta set value = 99 where name = 'schema'")
    with pytest.raises(DatabaseTooNew):
        await migrations.pending()
