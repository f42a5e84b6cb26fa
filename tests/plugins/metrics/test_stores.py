"""What is told of vector stores: files on their way in, and indexes in memory."""

from __future__ import annotations

import pytest
from tests.plugins.metrics.conftest import counted, read
from tests.plugins.vector_stores.conftest import PLUGINS, Api, server_of

from famulus.testing import kernel_with

pytestmark = pytest.mark.anyio


async def test_files_are_counted_by_how_they_end_and_chunks_where_they_came_in() -> None:
    async with server_of("metrics") as server:
        api = Api(server)
        store = await api.store("one two three", b"\x00", "four five")
        await api.settled(store)
        samples = await counted(server, 1, "famulus_files_ingested_total", status="failed")
        samples = await counted(server, 2, "famulus_files_ingested_total", status="completed")
    assert samples.get("famulus_chunks_ingested_total") == 2
    assert samples.get("famulus_ingestion_seconds_count") == 3


async def test_an_index_is_told_once_it_is_open() -> None:
    async with server_of("metrics") as server:
        api = Api(server)
        before = await read(server)
        store = await api.store("one two three")
        await api.settled(store)
        await api.search(store, "two")
        samples = await read(server)
    assert before.get("famulus_indexes_open") == 0
    assert samples.get("famulus_indexes_open") == 1
    assert (samples.get("famulus_indexes_memory_bytes") or 0) > 0


async def test_processes_that_read_files_are_told() -> None:
    async with kernel_with("metrics", "extraction", *PLUGINS) as server:
        samples = await read(server)
        assert samples.get("famulus_reading_processes", state="idle") == 0
        sent = {"file": ("a.txt", b"one two three", "text/plain")}
        file = await server.post("/v1/files", files=sent, data={"purpose": "assistants"})
        await server.post("/v1/vector_stores", {"file_ids": [file.json()["id"]]})
        samples = await counted(server, 1, "famulus_reading_processes", state="idle")
    assert samples.get("famulus_reading_processes", state="busy") == 0
