"""Vector stores through the official client, over a real socket, on both stores."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI
from tests.plugins.vector_stores.conftest import PLUGINS

from famulus.testing import live_server, make_kernel

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.filterwarnings("ignore:The Assistants API is deprecated:DeprecationWarning"),
]


@pytest.fixture
async def client(tmp_path: Path, place: dict[str, Any]) -> AsyncIterator[AsyncOpenAI]:
    plugins = [*PLUGINS, "extraction", *(["postgres"] if place else [])]
    ports = {"records": "postgres", "events": "postgres"} if place else {}
    settings = {"vector_stores": {"poll_after_ms": 10}, **({"postgres": place} if place else {})}
    kernel = make_kernel(*plugins, data_dir=tmp_path / "data", settings=settings, ports=ports)
    async with (
        live_server(kernel) as url,
        AsyncOpenAI(base_url=f"{url}/v1", api_key="any", max_retries=0) as client,
    ):
        yield client


def text(content: str, name: str) -> tuple[str, bytes]:
    """A file as the client takes one."""
    return name, content.encode()


async def test_the_clients_helpers_upload_wait_and_search(client: AsyncOpenAI) -> None:
    stores = client.vector_stores
    store = await stores.create(name="handbook", metadata={"a": "b"})
    one = await stores.files.upload_and_poll(
        vector_store_id=store.id,
        file=text("# Vacation\n\nThirty days a year are paid.", "vacation.md"),
        attributes={"topic": "vacation", "year": 2024},
    )
    assert (one.status, one.last_error) == ("completed", None)
    broken = await stores.files.upload_and_poll(
        vector_store_id=store.id, file=("a.bin", b"\x7fELF\x00\x01\x02" * 50)
    )
    assert broken.status == "failed"
    assert broken.last_error is not None
    assert broken.last_error.code == "unsupported_file"
    batch = await stores.file_batches.upload_and_poll(
        vector_store_id=store.id,
        files=[
            text("Lunch is served at noon.", "lunch.txt"),
            ("parking.txt", io.BytesIO(b"The gate's code is XK-4711.")),
        ],
    )
    assert (batch.status, batch.file_counts.completed) == ("completed", 2)
    listed = await stores.file_batches.list_files(batch.id, vector_store_id=store.id)
    assert len(listed.data) == 2
    assert await stores.file_batches.retrieve(batch.id, vector_store_id=store.id) == batch
    found = await stores.search(
        store.id, query="paid vacation days", max_num_results=2, rewrite_query=True
    )
    assert found.data[0].file_id == one.id
    assert found.data[0].filename == "vacation.md"
    assert found.data[0].attributes == {"topic": "vacation", "year": 2024}
    assert "Thirty days" in found.data[0].content[0].text
    changed = await stores.files.update(
        one.id, vector_store_id=store.id, attributes={"topic": "leave"}
    )
    assert changed.attributes == {"topic": "leave"}
    chosen = await stores.search(
        store.id,
        query=["days", "noon"],
        filters={"type": "eq", "key": "topic", "value": "leave"},
        ranking_options={"ranker": "auto", "score_threshold": 0.0},
    )
    assert [each.file_id for each in chosen.data] == [one.id]
    content = await stores.files.content(one.id, vector_store_id=store.id)
    told = "".join(part.text or "" for part in content.data)
    assert told.split() == ["#", "Vacation", "Thirty", "days", "a", "year", "are", "paid."]


async def test_the_client_adds_files_that_are_there_and_takes_them_out(
    client: AsyncOpenAI,
) -> None:
    stores = client.vector_stores
    files = [
        await client.files.create(file=text(f"text {n}", f"{n}.txt"), purpose="assistants")
        for n in range(3)
    ]
    store = await stores.create(
        file_ids=[files[0].id], expires_after={"anchor": "last_active_at", "days": 7}
    )
    assert store.expires_at == (store.last_active_at or 0) + 7 * 86_400
    one = await stores.files.create_and_poll(files[1].id, vector_store_id=store.id)
    assert one.status == "completed"
    batch = await stores.file_batches.create_and_poll(
        vector_store_id=store.id,
        file_ids=[each.id for each in files],
        chunking_strategy={
            "type": "static",
            "static": {"max_chunk_size_tokens": 200, "chunk_overlap_tokens": 50},
        },
    )
    assert batch.file_counts.completed == 3
    ids = [each.id async for each in stores.files.list(store.id, limit=2, order="asc")]
    assert sorted(ids) == sorted(each.id for each in files)
    gone = await stores.files.delete(files[0].id, vector_store_id=store.id)
    assert (gone.id, gone.object, gone.deleted) == (files[0].id, "vector_store.file.deleted", True)
    await client.files.delete(files[1].id)
    store = await stores.retrieve(store.id)
    assert (store.file_counts.completed, store.file_counts.total) == (1, 1)
    assert (await stores.update(store.id, name="new")).name == "new"
    assert [each.id async for each in stores.list()] == [store.id]
    assert (await stores.delete(store.id)).deleted
    with pytest.raises(openai.NotFoundError):
        await stores.retrieve(store.id)


async def test_the_client_cancels_a_batch(client: AsyncOpenAI) -> None:
    stores = client.vector_stores
    store = await stores.create()
    files = [
        await client.files.create(file=text("words " * 2000, f"{n}.txt"), purpose="assistants")
        for n in range(12)
    ]
    batch = await stores.file_batches.create(
        vector_store_id=store.id, file_ids=[each.id for each in files]
    )
    try:
        batch = await stores.file_batches.cancel(batch.id, vector_store_id=store.id)
    except openai.BadRequestError:
        # It may be faster than the client.
        batch = await stores.file_batches.retrieve(batch.id, vector_store_id=store.id)
        assert batch.status == "completed"
    else:
        assert batch.status == "cancelled"
    assert batch.file_counts.in_progress == 0
    assert batch.file_counts.total == 12
