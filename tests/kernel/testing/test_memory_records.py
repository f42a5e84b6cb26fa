"""The store in memory keeps every promise of RECORDS, so what is tested on it is tested."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from famulus.testing.memory_records import MemoryStore
from famulus.testing.records_conformance import OpenStore, RecordsConformance
from famulus_schemas.records import RecordStore, SystemRecords


class Shared:
    """One store, however often it is opened."""

    def __init__(self) -> None:
        memory = MemoryStore(clock=lambda: 1_700_000_000.0)
        self.store: RecordStore = memory
        self.system: SystemRecords = memory.system


class TestMemory(RecordsConformance):
    several_processes = True
    many = 5_000

    @pytest.fixture
    def open_store(self) -> OpenStore:
        shared = Shared()

        @asynccontextmanager
        async def opened() -> AsyncIterator[Shared]:
            yield shared

        return opened


async def test_the_clock_of_the_store_is_the_one_it_was_given() -> None:
    assert await Shared().system.now() == 1_700_000_000.0


@pytest.mark.parametrize("exclusive", [True, False])
async def test_it_can_be_told_that_other_processes_have_it_open(exclusive: bool) -> None:
    assert MemoryStore(exclusive=exclusive).system.exclusive is exclusive
