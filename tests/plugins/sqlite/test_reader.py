from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from famulus_schemas.records import Insert
from famulus_sqlite.reader import LoopReader, Slow

pytestmark = pytest.mark.anyio

Open = Callable[..., Any]
COUNT_FAR = "with recursive n (i) as (values (1) union all select i + 1 from n where i < {})"


async def test_a_read_that_takes_long_is_given_up_on_the_loop(
    open_sqlite: Open, path: Path
) -> None:
    async with open_sqlite():
        reader = LoopReader.open(path, point_read_s=0.005, cache_bytes=0)
        with pytest.raises(Slow):
            reader.row(f"{COUNT_FAR.format(2**60)} select count(*) from n", ())
        assert reader.row("select 5", ()) == (5,)
        reader.close()


async def test_a_read_given_up_on_the_loop_is_answered_from_a_thread(open_sqlite: Open) -> None:
    async with open_sqlite(point_read_s=0.0) as opened:
        statement = f"{COUNT_FAR.format(20_000)} select count(*) from n"
        with pytest.raises(Slow):
            opened.database.reader.here.row(statement, ())
        assert await opened.database.reader.row(statement, ()) == (20_000,)


async def test_reads_hold_up_no_checkpoint(open_sqlite: Open, path: Path) -> None:
    body = b"x" * 20_000
    async with open_sqlite(checkpoint_bytes=1_000_000, synchronous="NORMAL") as opened:
        records = opened.store.of("p")
        written = 0

        async def write(worker: int) -> None:
            nonlocal written
            for number in range(100):
                id = f"{worker}.{number}"
                await records.commit([Insert(kind="k", id=id, created_at=1, body=body)])
                written += len(body)

        async def read() -> None:
            while written < 8 * 100 * len(body):
                await records.page("k", limit=5)
                await records.get("k", "0.0")

        await asyncio.gather(read(), read(), *(write(worker) for worker in range(8)))
        assert written == 16_000_000
        assert Path(f"{path}-wal").stat().st_size < written / 2


async def test_a_read_sees_what_was_committed_just_before(open_sqlite: Open) -> None:
    async with open_sqlite() as opened:
        records = opened.store.of("p")
        for number in range(200):
            id = f"r{number}"
            await records.commit([Insert(kind="k", id=id, created_at=1, body=b"")])
            assert await records.get("k", id) is not None
            assert [record.id for record in (await records.page("k", limit=1)).records] == [id]
