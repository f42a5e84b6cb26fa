"""The folder of blobs keeps every promise of BLOBS, and is tidy on the disk."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from famulus import NoSettings, Plugin, need
from famulus.testing import FixedClock, conformance_for, kernel_with
from famulus.testing.blobs_conformance import KEY, OpenBlobs, listed, pieces, read
from famulus_schemas.blobs import Blobs, BlobsUnavailable
from famulus_schemas.ports import BLOBS

pytestmark = pytest.mark.anyio


class User(Plugin[NoSettings]):
    """Uses blobs."""

    name = "user"
    blobs = need(BLOBS)


@asynccontextmanager
async def opened(folder: Path, **arguments: Any) -> AsyncIterator[Blobs]:
    async with kernel_with("local_blobs", User, data_dir=folder, **arguments) as server:
        yield server.plugin("user").blobs


class TestLocalBlobs(conformance_for(BLOBS)):  # type: ignore[misc]
    @pytest.fixture
    def open_blobs(self, tmp_path: Path) -> OpenBlobs:
        return lambda: opened(tmp_path)


class TestLocalBlobsInTheSmall(conformance_for(BLOBS)):  # type: ignore[misc]
    """The same promises by one thread and in small pieces."""

    @pytest.fixture
    def open_blobs(self, tmp_path: Path) -> OpenBlobs:
        settings = {"local_blobs": {"threads_max": 1, "chunk_bytes": 70_000}}
        return lambda: opened(tmp_path, settings=settings)


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


async def test_a_blob_lies_in_a_folder_of_its_project(tmp_path: Path) -> None:
    async with opened(tmp_path) as blobs:
        await blobs.put("../a", KEY, pieces(b"abc"))
    [place] = files(tmp_path)
    assert place.startswith("blobs/%2E%2E%2Fa/")
    assert place.endswith(f"/{KEY}")
    assert os.stat(tmp_path / place).st_mode & 0o077 == 0


async def test_the_time_of_a_blob_is_the_servers(tmp_path: Path) -> None:
    async with opened(tmp_path, clock=FixedClock(1_600_000_000.5)) as blobs:
        await blobs.put("p", KEY, pieces(b"abc"))
        found = await blobs.find("p", KEY)
        assert found is not None
        assert found.stored_at == 1_600_000_000.5


async def test_the_folder_may_be_elsewhere(tmp_path: Path) -> None:
    elsewhere = tmp_path / "x" / "y"
    settings = {"local_blobs": {"folder": str(elsewhere)}}
    async with opened(tmp_path / "data", settings=settings) as blobs:
        await blobs.put("p", KEY, pieces(b"abc"))
    assert len(files(elsewhere)) == 1


async def test_two_servers_share_a_folder(tmp_path: Path) -> None:
    async with opened(tmp_path) as one, opened(tmp_path) as two:
        await one.put("p", KEY, pieces(b"abc"))
        assert await read(two, "p", KEY) == b"abc"
        await two.delete("p", KEY)
        assert await one.find("p", KEY) is None


async def test_what_another_server_is_writing_is_left_alone_at_a_start(tmp_path: Path) -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def slow() -> AsyncIterator[bytes]:
        yield b"x" * 2_000_000
        begun.set()
        await go_on.wait()
        yield b"y"

    async with opened(tmp_path) as one:
        writing = asyncio.create_task(one.put("p", KEY, slow()))
        await begun.wait()
        async with opened(tmp_path) as two:
            go_on.set()
            await writing
            assert len(await read(two, "p", KEY)) == 2_000_001


@pytest.mark.parametrize("point", ["blob_before_placed", "blob_placed"])
async def test_a_blob_is_whole_or_not_there_after_a_kill(tmp_path: Path, point: str) -> None:
    script = Path(__file__).with_name("put_a_blob.py")
    command = [sys.executable, str(script), str(tmp_path), point]
    done = await asyncio.to_thread(subprocess.run, command, capture_output=True, timeout=120)
    assert done.returncode == -signal.SIGKILL, done.stderr
    async with opened(tmp_path) as blobs:
        there = [("p", KEY, 3_000_000)] if point == "blob_placed" else []
        assert await listed(blobs) == there
    assert len(files(tmp_path)) == len(there)


async def test_a_folder_that_cannot_be_written_is_said_to_be_so(tmp_path: Path) -> None:
    async with opened(tmp_path) as blobs:
        (tmp_path / "blobs" / "p").write_bytes(b"in the way")
        with pytest.raises(BlobsUnavailable):
            await blobs.put("p", KEY, pieces(b"abc"))
    assert files(tmp_path) == ["blobs/p"]
