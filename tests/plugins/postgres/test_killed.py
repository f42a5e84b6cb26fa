"""A process that is killed under load loses nothing that it acknowledged, and halves no unit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from famulus_schemas.records import Record, Records

pytestmark = pytest.mark.anyio

KILLED_AFTER = (1, 17, 111, 333)
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


async def test_nothing_acknowledged_is_lost_when_one_of_two_processes_is_killed(
    open_postgres: Callable[..., Any], another_process: Callable[[], Any]
) -> None:
    ledger: list[tuple[str, int, str]] = []
    beside = another_process()
    assert beside.stdout.readline() == "open\n"
    for count in KILLED_AFTER:
        process = another_process()
        assert process.stdout.readline() == "open\n"
        lines = [process.stdout.readline() for _ in range(count)]
        process.kill()
        # What was said before the kill and not read yet was acknowledged as well.
        lines += process.stdout.readlines()
        assert process.wait() == -9
        # The one that lives on is not held up by what the dead one had locked.
        lines += [beside.stdout.readline() for _ in range(50)]
        for line in lines:
            worker, number, id = line.split()
            ledger.append((worker, int(number), id))
    beside.kill()
    beside.stdout.readlines()
    beside.wait()
    assert len(ledger) >= sum(KILLED_AFTER) + 50 * len(KILLED_AFTER)
    async with open_postgres() as opened:
        records = opened.store.of("project")
        ones = [record.id for record in await every(records, "one")]
        others = [record.id for record in await every(records, "other")]
        assert set(ones) >= {id for _, _, id in ledger}
        assert len(ones) == len(set(ones))
        assert set(ones) == set(others)
        counters = {record.id: record for record in await every(records, "counter")}
        for worker, number, _ in ledger:
            assert int(counters[worker].body) >= number
        for worker, counter in counters.items():
            units = [id for id in ones if id.startswith(f"{worker}.")]
            assert counter.version == len(units) + 1
