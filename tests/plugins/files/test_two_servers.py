"""Two servers that share a store and a folder are one server to whoever has files there."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from tests.plugins.files.conftest import User, eventually, given, keys
from tests.plugins.files.test_uploads_api import add, added, begun, cancel, complete
from tests.plugins.shared_store import SharedStore

from famulus.testing import TestServer, kernel_with

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def one_of(store: SharedStore, folder: Path) -> AsyncIterator[TestServer]:
    settings = {"local_blobs": {"folder": str(folder)}, "files": {"sweep_s": 0.01}}
    plugins = (store.plugin(), "events", "jobs", "local_blobs", "files", User)
    async with kernel_with(*plugins, settings=settings) as server:
        yield server


@pytest.fixture
async def both(tmp_path: Path) -> AsyncIterator[tuple[TestServer, TestServer]]:
    store = SharedStore()
    async with one_of(store, tmp_path) as a, one_of(store, tmp_path) as b:
        yield a, b


async def test_a_file_is_given_to_one_and_read_and_deleted_at_the_other(
    both: tuple[TestServer, TestServer],
) -> None:
    a, b = both
    id = await given(a)
    assert (await b.get(f"/v1/files/{id}/content")).content == b"hello"
    answers = await asyncio.gather(*(one.delete(f"/v1/files/{id}") for one in both * 4))
    assert sorted(answer.status_code for answer in answers) == [200] + [404] * 7

    async def is_removed() -> bool:
        return await keys(a.plugin("user")) == []

    await eventually(is_removed)


async def test_parts_come_to_both_and_one_end_counts(both: tuple[TestServer, TestServer]) -> None:
    a, b = both
    for _ in range(10):
        upload = await begun(a, 10)
        parts = [await added(a, upload, b"hello"), await added(b, upload, b"world")]
        ends = await asyncio.gather(
            complete(a, upload, *parts),
            complete(b, upload, *parts),
            cancel(a, upload),
            cancel(b, upload),
            add(a, upload, b"late"),
            add(b, upload, b"late"),
        )
        [won] = [end.json() for end in ends[:4] if end.status_code == 200]
        if won["status"] == "completed":
            content = await b.get(f"/v1/files/{won['file']['id']}/content")
            assert content.content == b"helloworld"
            await a.delete(f"/v1/files/{won['file']['id']}")
    user: User = a.plugin("user")
    left = await user.every_project.scan("upload_part")
    assert list(left) == []
