from __future__ import annotations

import asyncio
import io
import shutil
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest

from famulus.log import make_log
from famulus_schemas.records import Conflict, Guard, Insert, Records, StoreUnavailable
from famulus_sqlite.file import open_transactions
from famulus_sqlite.migrations import apply_migrations
from famulus_sqlite.numbers import Numbers
from famulus_sqlite.settings import SqliteSettings
from famulus_sqlite.transactions import Transactions
from famulus_sqlite.writer import running_writer

pytestmark = pytest.mark.anyio

Open = Callable[..., Any]
T = TypeVar("T")


def one(id: str, **fields: Any) -> Insert:
    given: dict[str, Any] = {"kind": "k", "created_at": 1, "body": b"{}"} | fields
    return Insert(id=id, **given)


async def there(records: Records, ids: list[str]) -> list[str]:
    return [id for id in ids if await records.get("k", id) is not None]


@pytest.mark.parametrize(("synchronous", "level"), [("FULL", 2), ("NORMAL", 1)])
async def test_the_database_is_synced_as_the_setting_says(
    open_sqlite: Open, synchronous: str, level: int
) -> None:
    async with open_sqlite(synchronous=synchronous) as opened:
        assert await opened.database.transactions.pragma("synchronous") == level
        assert await opened.database.transactions.pragma("journal_mode") == "wal"


async def test_commits_are_synced_fully_unless_set_otherwise(open_sqlite: Open) -> None:
    async with open_sqlite() as opened:
        assert await opened.database.transactions.pragma("synchronous") == 2


async def test_the_log_is_copied_back_at_the_length_of_the_setting(open_sqlite: Open) -> None:
    async with open_sqlite(checkpoint_bytes=1_048_576) as opened:
        transactions = opened.database.transactions
        pages = await transactions.pragma("wal_autocheckpoint")
        assert pages * await transactions.pragma("page_size") == 1_048_576


class Counted:
    """Transactions that are counted on their way to real ones."""

    def __init__(self, transactions: Transactions) -> None:
        self._transactions = transactions
        self.count = 0

    async def run(self, function: Callable[..., T]) -> T:
        self.count += 1
        return await self._transactions.run(function)


@pytest.mark.parametrize(("per_batch", "least", "most"), [(256, 1, 2), (10, 10, 11), (1, 100, 100)])
async def test_units_that_wait_are_committed_together_up_to_the_limit(
    path: Path, per_batch: int, least: int, most: int
) -> None:
    settings = SqliteSettings()
    async with open_transactions(path, settings, clock=lambda: 5.0) as transactions:
        await apply_migrations(transactions, path)
        numbers = await transactions.run(Numbers.load)
        counted = Counted(transactions)
        async with running_writer(
            counted,  # type: ignore[arg-type]
            numbers,
            units_per_batch_max=per_batch,
            units_waiting_max=1000,
            log=make_log(stream=io.StringIO()),
        ) as writer:
            await asyncio.gather(*(writer.commit("p", [one(f"r{n}")]) for n in range(100)))
        assert least <= counted.count <= most


async def test_units_beyond_the_queue_are_refused_as_overload(open_sqlite: Open) -> None:
    async with open_sqlite(units_waiting_max=5) as opened:
        records = opened.store.of("p")
        ids = [f"r{number}" for number in range(20)]
        outcomes = await asyncio.gather(
            *(records.commit([one(id)]) for id in ids), return_exceptions=True
        )
        written = [id for id, outcome in zip(ids, outcomes, strict=True) if outcome is None]
        refusals = [outcome for outcome in outcomes if outcome is not None]
        assert len(written) == 5
        assert await there(records, ids) == written
        for refusal in refusals:
            assert isinstance(refusal, StoreUnavailable)
            assert "overloaded" in str(refusal)
            assert "units_waiting_max" in str(refusal)
        await records.commit([one("later")])
        assert opened.database.writer.health().status == "ok"


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"created_at": 2**70}, OverflowError),
        ({"parent": "\ud800"}, UnicodeEncodeError),
        ({"body": object()}, Exception),
        ({"body": None}, Exception),
    ],
)
async def test_a_unit_that_cannot_be_stored_fails_alone(
    open_sqlite: Open, fields: dict[str, Any], error: type[Exception]
) -> None:
    async with open_sqlite() as opened:
        records = opened.store.of("p")
        ids = [f"r{number}" for number in range(20)]
        outcomes = await asyncio.gather(
            *(records.commit([one(id)]) for id in ids),
            records.commit([one("with it"), one("bad", **fields)]),
            records.commit([one("r3")]),
            return_exceptions=True,
        )
        assert outcomes[:20] == [None] * 20
        assert isinstance(outcomes[20], error)
        assert not isinstance(outcomes[20], Conflict | StoreUnavailable)
        assert isinstance(outcomes[21], Conflict)
        assert await there(records, [*ids, "with it", "bad"]) == ids
        assert opened.database.writer.health().status == "ok"


async def test_something_that_is_no_write_fails_alone(open_sqlite: Open) -> None:
    async with open_sqlite() as opened:
        records = opened.store.of("p")
        good, bad = await asyncio.gather(
            records.commit([one("a")]), records.commit([object()]), return_exceptions=True
        )
        assert good is None
        assert isinstance(bad, AttributeError)
        await records.commit([one("b")])
        assert await there(records, ["a", "b"]) == ["a", "b"]


async def test_what_waits_when_the_store_closes_is_written(open_sqlite: Open) -> None:
    ids = [f"r{number}" for number in range(100)]
    async with open_sqlite(units_per_batch_max=7) as opened:
        records = opened.store.of("p")
        tasks = [asyncio.create_task(records.commit([one(id)])) for id in ids]
        await asyncio.sleep(0)
    assert await asyncio.gather(*tasks) == [None] * 100
    async with open_sqlite() as opened:
        assert await there(opened.store.of("p"), ids) == ids


async def test_a_closed_store_takes_no_units(open_sqlite: Open) -> None:
    async with open_sqlite() as opened:
        records = opened.store.of("p")
    with pytest.raises(StoreUnavailable):
        await records.commit([one("a")])
    assert opened.database.writer.health().status == "down"


async def test_an_io_error_stops_all_writing_until_the_store_is_opened_again(
    open_sqlite: Open, another_process: Callable[[str, Path], Any], path: Path
) -> None:
    process = another_process("fail_to_write", path)
    during, after, read, health = process.stdout.read().splitlines()
    assert process.wait() == 0
    assert during.startswith("during refused: the database cannot be written: disk I/O error")
    assert after.startswith("after refused: the database cannot be written: disk I/O error")
    assert "restart" in after
    assert read == "read"
    assert health == "down"
    async with open_sqlite() as opened:
        records = opened.store.of("project")
        assert await records.get("one", "before") is not None
        assert await records.get("one", "during") is None
        await records.commit([one("again")])
        assert opened.database.writer.health().status == "ok"


async def test_another_programs_lock_is_waited_for_and_then_refuses_the_unit(
    open_sqlite: Open, path: Path
) -> None:
    async with open_sqlite(busy_timeout_s=0.05) as opened:
        records = opened.store.of("p")
        await records.commit([one("before")])
        backup = sqlite3.connect(path, isolation_level=None)
        backup.execute("begin immediate")
        with pytest.raises(StoreUnavailable, match="locked"):
            await records.commit([one("during")])
        assert opened.database.writer.health().status == "degraded"
        assert await there(records, ["before", "during"]) == ["before"]
        backup.execute("rollback")
        backup.close()
        await records.commit([one("after")])
        assert opened.database.writer.health().status == "ok"
        assert await there(records, ["before", "during", "after"]) == ["before", "after"]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of four megabytes."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = shutil.which("mount")
    done = mount and subprocess.run(
        [mount, "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)], capture_output=True
    )
    if not done or done.returncode:
        pytest.skip("NOT TESTED: a full disk; mounting a small tmpfs needs root")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


async def fill(records: Records, written: list[str]) -> None:
    for number in range(1000):
        await records.commit([one(f"r{number}", body=b"x" * 50_000)])
        written.append(f"r{number}")


async def test_a_full_disk_refuses_what_does_not_fit_and_nothing_later(
    open_sqlite: Open, small_disk: Path
) -> None:
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(2_000_000))
    async with open_sqlite(small_disk / "records.sqlite3") as opened:
        records = opened.store.of("p")
        written: list[str] = []
        with pytest.raises(StoreUnavailable, match="full"):
            await fill(records, written)
        assert written
        assert opened.database.writer.health().status == "degraded"
        assert await there(records, [*written, f"r{len(written)}"]) == written
        with pytest.raises(Conflict):
            await records.commit([Guard(kind="k", id="r0", absent=True)])
        ballast.unlink()
        await records.commit([one("after", body=b"x" * 50_000)])
        assert await there(records, ["after"]) == ["after"]
        assert opened.database.writer.health().status == "ok"
    async with open_sqlite(small_disk / "records.sqlite3") as opened:
        assert await there(opened.store.of("p"), [*written, "after"]) == [*written, "after"]
