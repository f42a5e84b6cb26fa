from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from famulus_schemas.records import Insert
from famulus_sqlite.errors import DatabaseInUse

pytestmark = pytest.mark.anyio

Open = Callable[..., Any]
AnotherProcess = Callable[[str, Path], Any]


async def test_a_second_process_is_refused_and_told_who_has_the_database(
    open_sqlite: Open, another_process: AnotherProcess, path: Path
) -> None:
    owner = another_process("hold", path)
    assert owner.stdout.readline() == "open\n"
    with pytest.raises(DatabaseInUse) as caught:
        async with open_sqlite():
            pass
    assert str(path) in str(caught.value)
    assert f"process {owner.pid} on {socket.gethostname()}" in str(caught.value)
    assert "since 1970-01-01T00:00:05+00:00" in str(caught.value)


async def test_a_second_store_of_the_same_process_is_refused(open_sqlite: Open) -> None:
    async with open_sqlite():
        with pytest.raises(DatabaseInUse, match=f"process {os.getpid()} "):
            async with open_sqlite():
                pass


async def test_a_refused_store_does_not_take_the_lock_from_its_owner(
    open_sqlite: Open, path: Path
) -> None:
    async with open_sqlite() as opened:
        for _ in range(2):
            with pytest.raises(DatabaseInUse):
                async with open_sqlite():
                    pass
        await opened.store.of("p").commit([Insert(kind="k", id="a", created_at=1, body=b"")])


async def test_the_lock_of_a_killed_owner_is_free(
    open_sqlite: Open, another_process: AnotherProcess, path: Path
) -> None:
    owner = another_process("hold", path)
    assert owner.stdout.readline() == "open\n"
    owner.kill()
    owner.wait()
    async with open_sqlite() as opened:
        assert await opened.store.of("p").get("k", "a") is None


async def test_the_lock_is_free_after_closing(open_sqlite: Open) -> None:
    for _ in range(2):
        async with open_sqlite() as opened:
            assert await opened.store.of("p").get("k", "a") is None


async def test_the_owner_is_named_whatever_an_earlier_one_left(
    open_sqlite: Open, path: Path
) -> None:
    path.with_name(f"{path.name}.lock").write_text("x" * 2000)
    async with open_sqlite():
        with pytest.raises(DatabaseInUse, match=f"process {os.getpid()} "):
            async with open_sqlite():
                pass


async def test_two_databases_of_one_process_do_not_lock_each_other_out(
    open_sqlite: Open, tmp_path: Path
) -> None:
    async with open_sqlite() as one, open_sqlite(tmp_path / "other.sqlite3") as two:
        await one.store.of("p").commit([Insert(kind="k", id="a", created_at=1, body=b"")])
        assert await two.store.of("p").get("k", "a") is None
