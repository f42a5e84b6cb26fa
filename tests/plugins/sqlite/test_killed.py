"""A server that is killed under load loses nothing that it acknowledged, and halves no unit."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from famulus_schemas.records import Record, Records

pytestmark = pytest.mark.anyio

KILLED_AFTER = (1, 2, 17, 40, 111, 200, 333, 500)
"""Acknowledgements read before each kill; more were on their way."""


async def every(records: Records, kind: str) -> list[Record]:
    found: list[Record] = []
    while True:
        page = await records.page(
            kind, order="asc", after=found[-1].id if found else None, limit=1000
        )
        found += page.records
        if not page.has_more:
            return found


async def test_nothing_acknowledged_is_lost_when_the_process_is_killed(
    open_sqlite: Callable[..., Any],
    another_process: Callable[[str, Path], Any],
    path: Path,
) -> None:
    ledger: list[tuple[str, int, str]] = []
    for count in KILLED_AFTER:
        process = another_process("write", path)
        assert process.stdout.readline() == "open\n"
        lines = [process.stdout.readline() for _ in range(count)]
        process.kill()
        # What was said before the kill and not read yet was acknowledged as well.
        lines += process.stdout.readlines()
        assert process.wait() == -9
        for line in lines:
            worker, number, id = line.split()
            ledger.append((worker, int(number), id))
    assert len(ledger) >= sum(KILLED_AFTER)
    async with open_sqlite() as opened:
        records = opened.store.of("project")
        ones = [record.id for record in await every(records, "one")]
        others = [record.id for record in await every(records, "other")]
        assert set(ones) >= {id for _, _, id in ledger}
        assert len(ones) == len(set(ones))
        assert ones == others
        counters = {record.id: record for record in await every(records, "counter")}
        for worker, number, _ in ledger:
            assert int(counters[worker].body) >= number
        for worker, counter in counters.items():
            units = [id for id in ones if id.startswith(f"{worker}.")]
            assert counter.version == len(units) + 1
    connection = sqlite3.connect(path)
    assert connection.execute("pragma integrity_check").fetchall() == [("ok",)]
    connection.close()
