"""How a store is opened for its tests, and what each of them starts from."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from typing import ClassVar, Protocol

import pytest

from famulus.testing.records_conformance.notes import NOTE, PLAIN
from famulus_schemas.records import Records, RecordStore, SystemRecords


class Opened(Protocol):
    """An open store, as a subclass's `open_store` yields it."""

    @property
    def store(self) -> RecordStore: ...

    @property
    def system(self) -> SystemRecords: ...


OpenStore = Callable[[], AbstractAsyncContextManager[Opened]]
"""Opens a store; within one test always on the same place, which was empty at first."""


class StoreTests:
    """The fixtures of every group of promises, and what a subclass may set."""

    several_processes: ClassVar[bool] = False
    """Whether a place may be open twice at once, as by two processes."""
    many: ClassVar[int] = 100_000
    """How many records the test of a large list inserts."""

    pytestmark = pytest.mark.anyio

    @pytest.fixture
    def open_store(self) -> OpenStore:
        raise NotImplementedError("a subclass says how its store is opened")

    @pytest.fixture
    async def opened(self, open_store: OpenStore) -> AsyncIterator[Opened]:
        async with open_store() as opened:
            await opened.store.declare(PLAIN, NOTE)
            yield opened

    @pytest.fixture
    def records(self, opened: Opened) -> Records:
        return opened.store.of("project")
