"""What every blob store promises, as tests: subclass, say how to open one, and run pytest.

    class TestMyBlobs(BlobsConformance):
        @pytest.fixture
        def open_blobs(self, tmp_path):
            return lambda: open_my_blobs(tmp_path)

The tests are coroutines, run by anyio's pytest plugin on asyncio.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager

import pytest

from famulus_schemas.blobs import BlobMissing, Blobs, StoredBlob

OpenBlobs = Callable[[], AbstractAsyncContextManager[Blobs]]
"""Opens a store; within one test always on the same place, which was empty at first."""

LARGE = 20_000_000
KEY = "file-0a1B_2"


class SourceFailed(Exception):
    """A stream broke off."""


async def pieces(data: bytes, size: int = 65_536) -> AsyncIterator[bytes]:
    """The data in chunks."""
    for at in range(0, len(data), size):
        yield data[at : at + size]
        await asyncio.sleep(0)


async def broken(data: bytes) -> AsyncIterator[bytes]:
    """The data, and then no end."""
    async for chunk in pieces(data):
        yield chunk
    raise SourceFailed


async def read(blobs: Blobs, project: str, key: str, **span: int) -> bytes:
    """All that a read gives."""
    return b"".join([chunk async for chunk in blobs.read(project, key, **span)])


async def listed(blobs: Blobs, prefix: str = "") -> list[tuple[str, str, int]]:
    """What is there, sorted."""
    return sorted([(one.project, one.key, one.bytes) async for one in blobs.stored(prefix)])


def large(size: int = LARGE) -> bytes:
    """Much, and no part of it like another."""
    return hashlib.shake_256(b"blob").digest(size)


class BlobsConformance:
    """The promises of BLOBS. A subclass gives `open_blobs`."""

    pytestmark = pytest.mark.anyio

    @pytest.fixture
    def open_blobs(self) -> OpenBlobs:
        raise NotImplementedError("a subclass says how its store is opened")

    @pytest.fixture
    async def blobs(self, open_blobs: OpenBlobs) -> AsyncIterator[Blobs]:
        async with open_blobs() as blobs:
            yield blobs

    @pytest.mark.parametrize("size", [0, 1, 65_536, LARGE])
    async def test_what_was_put_is_read(self, blobs: Blobs, size: int) -> None:
        data = large(size)
        put = await blobs.put("p", KEY, pieces(data))
        assert (put.project, put.key, put.bytes) == ("p", KEY, size)
        assert put.sha256 == hashlib.sha256(data).hexdigest()
        assert await read(blobs, "p", KEY) == data

    async def test_a_stream_may_come_in_any_pieces(self, blobs: Blobs) -> None:
        data = large(100_000)
        for size in (7, 100_000, 33_333):
            put = await blobs.put("p", KEY, pieces(data, size))
            assert put.sha256 == hashlib.sha256(data).hexdigest()

    @pytest.mark.parametrize(
        ("start", "end"),
        [(0, 1), (5, 2_000_000), (9_999_999, 10_000_001), (LARGE - 1, LARGE), (0, LARGE)],
    )
    async def test_a_range_is_read(self, blobs: Blobs, start: int, end: int) -> None:
        data = large()
        await blobs.put("p", KEY, pieces(data))
        assert await read(blobs, "p", KEY, start=start, end=end) == data[start:end]

    async def test_a_range_past_the_end_is_what_there_is_of_it(self, blobs: Blobs) -> None:
        await blobs.put("p", KEY, pieces(b"abcdef"))
        assert await read(blobs, "p", KEY, start=4, end=100) == b"ef"
        assert await read(blobs, "p", KEY, start=3) == b"def"
        assert await read(blobs, "p", KEY, start=2, end=2) == b""
        assert await read(blobs, "p", KEY, start=6) == b""
        assert await read(blobs, "p", KEY, start=9) == b""

    async def test_what_is_there_is_found_without_being_read(self, blobs: Blobs) -> None:
        await blobs.put("p", KEY, pieces(b"abcdef"))
        found = await blobs.find("p", KEY)
        assert isinstance(found, StoredBlob)
        assert (found.project, found.key, found.bytes) == ("p", KEY, 6)
        assert found.stored_at > 0

    async def test_what_is_not_there_is_missing(self, blobs: Blobs) -> None:
        assert await blobs.find("p", KEY) is None
        with pytest.raises(BlobMissing):
            await read(blobs, "p", KEY)
        with pytest.raises(BlobMissing):
            await read(blobs, "p", KEY, start=1, end=2)
        await blobs.delete("p", KEY)

    async def test_what_is_deleted_is_gone(self, blobs: Blobs) -> None:
        await blobs.put("p", KEY, pieces(b"abc"))
        await blobs.put("p", "other", pieces(b"def"))
        await blobs.delete("p", KEY)
        await blobs.delete("p", KEY)
        assert await blobs.find("p", KEY) is None
        assert await read(blobs, "p", "other") == b"def"

    async def test_a_project_cannot_reach_what_another_put(self, blobs: Blobs) -> None:
        await blobs.put("p", KEY, pieces(b"abc"))
        for project in ("q", "P", "p/", "p.", "", "."):
            if project:
                assert await blobs.find(project, KEY) is None
                await blobs.delete(project, KEY)
        await blobs.put("q", KEY, pieces(b"xyz"))
        assert await read(blobs, "p", KEY) == b"abc"
        assert await read(blobs, "q", KEY) == b"xyz"

    @pytest.mark.parametrize("project", ["..", "../q", "a/b", "größe", "a b%2F", "C:\\", "~", "."])
    async def test_a_project_may_be_called_anything(self, blobs: Blobs, project: str) -> None:
        await blobs.put(project, KEY, pieces(b"abc"))
        assert await read(blobs, project, KEY) == b"abc"
        assert await listed(blobs) == [(project, KEY, 3)]

    @pytest.mark.parametrize("key", ["", ".", "..", "a/b", "../x", "a\0", "ä", "x" * 129, "a.b"])
    async def test_a_key_that_could_be_a_path_is_a_bug(self, blobs: Blobs, key: str) -> None:
        with pytest.raises(ValueError, match="no key of a blob"):
            await blobs.put("p", key, pieces(b"x"))
        with pytest.raises(ValueError, match="no key of a blob"):
            await read(blobs, "p", key)
        with pytest.raises(ValueError, match="no key of a blob"):
            await blobs.delete("p", key)

    async def test_everything_is_listed_by_prefix(self, blobs: Blobs) -> None:
        for project in ("p", "q"):
            for key in ("file-1", "file-2", "part_1"):
                await blobs.put(project, key, pieces(b"abc"))
        assert await listed(blobs, "part_") == [("p", "part_1", 3), ("q", "part_1", 3)]
        assert len(await listed(blobs, "file-")) == 4
        assert len(await listed(blobs)) == 6
        assert await listed(blobs, "none") == []

    @pytest.mark.parametrize("size", [0, 100, LARGE])
    async def test_a_stream_that_breaks_off_leaves_nothing(self, blobs: Blobs, size: int) -> None:
        with pytest.raises(SourceFailed):
            await blobs.put("p", KEY, broken(large(size)))
        assert await blobs.find("p", KEY) is None
        assert await listed(blobs) == []

    async def test_a_stream_that_breaks_off_replaces_nothing(self, blobs: Blobs) -> None:
        await blobs.put("p", KEY, pieces(b"first"))
        with pytest.raises(SourceFailed):
            await blobs.put("p", KEY, broken(b"second"))
        assert await read(blobs, "p", KEY) == b"first"
        await blobs.put("p", KEY, pieces(b"third"))
        assert await read(blobs, "p", KEY) == b"third"

    async def test_a_put_that_is_cancelled_leaves_nothing(self, blobs: Blobs) -> None:
        begun = asyncio.Event()

        async def endless() -> AsyncIterator[bytes]:
            while True:
                yield large(1_000_000)
                begun.set()
                await asyncio.sleep(0)

        task = asyncio.create_task(blobs.put("p", KEY, endless()))
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await blobs.find("p", KEY) is None

    async def test_many_put_at_once_do_not_mix(self, blobs: Blobs) -> None:
        contents = {f"key_{n}": large(200_000 + n)[n:] for n in range(12)}
        await asyncio.gather(
            *(blobs.put("p", key, pieces(data, 9_999)) for key, data in contents.items())
        )
        for key, data in contents.items():
            assert await read(blobs, "p", key) == data

    async def test_a_read_goes_on_when_its_blob_is_deleted(self, blobs: Blobs) -> None:
        data = large(5_000_000)
        await blobs.put("p", KEY, pieces(data))
        chunks = blobs.read("p", KEY)
        got = [await anext(chunks)]
        await blobs.delete("p", KEY)
        got += [chunk async for chunk in chunks]
        assert b"".join(got) == data

    async def test_a_read_may_be_left(self, blobs: Blobs) -> None:
        await blobs.put("p", KEY, pieces(large(5_000_000)))
        chunks = blobs.read("p", KEY)
        await anext(chunks)
        await chunks.aclose()  # type: ignore[attr-defined]
        assert await blobs.find("p", KEY) is not None

    async def test_what_was_put_is_there_after_a_restart(self, open_blobs: OpenBlobs) -> None:
        async with open_blobs() as blobs:
            await blobs.put("p", KEY, pieces(b"abc"))
        async with open_blobs() as blobs:
            assert await read(blobs, "p", KEY) == b"abc"
