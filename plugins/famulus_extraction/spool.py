"""Files that last as long as an extraction: the content, and its chunks."""

from __future__ import annotations

import asyncio
import fcntl
import os
import secrets
import shutil
import tempfile
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, TypeVar

from famulus_extraction.messages import BATCH_BYTES_MAX, LENGTH_BYTES, decode_batch
from famulus_schemas.retrieval import Chunk, ExtractionRefused

T = TypeVar("T")
MB = 1_048_576
HEAD_BYTES = 4096
WRITE_BYTES = 1_048_576


class BrokenOutput(Exception):
    """What a process wrote is no series of chunks."""


async def on_disk(work: Callable[[], T]) -> T:
    """What the work gives, done beside the event loop.

    It is waited for even by a caller who is cancelled: what it touches must not be closed under
    its fingers.
    """
    future = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        await asyncio.wait([future])
        if not future.cancelled():
            # Looked at, so that asyncio does not report it as forgotten.
            future.exception()
        raise


class Spooled:
    """The two files of one extraction, under names of our own."""

    def __init__(self, folder: Path) -> None:
        self.source = folder / "content"
        self.output = folder / "chunks"
        # Kept open: what the process puts in the place of the name is not looked at.
        self._chunks: BinaryIO = self.output.open("w+b")
        self.head = b""
        """How the content begins."""

    async def fill(self, content: AsyncIterable[bytes], *, bytes_max: int) -> None:
        """Write the content down. Raises ExtractionRefused for too long a one, or what it raises.

        An empty one is too short to be read.
        """
        size = 0
        with self.source.open("xb") as file:
            async for piece in _gathered(content):
                size += len(piece)
                if size > bytes_max:
                    raise ExtractionRefused(
                        "invalid_file",
                        f"The file is larger than the {bytes_max / MB:.4g} MB that are read.",
                    )
                if len(self.head) < HEAD_BYTES:
                    self.head = (self.head + piece)[:HEAD_BYTES]
                await on_disk(lambda piece=piece: file.write(piece))  # type: ignore[misc]
        if not size:
            raise ExtractionRefused("invalid_file", "The file is empty.")

    async def batches(self, chunks: int) -> AsyncIterator[Sequence[Chunk]]:
        """What the process wrote, so many chunks. Raises BrokenOutput."""
        while batch := await on_disk(self._batch):
            chunks -= len(batch)
            yield batch
        if chunks:
            raise BrokenOutput("the chunks of a file are not as many as there were to be")

    def _batch(self) -> Sequence[Chunk]:
        head = self._chunks.read(LENGTH_BYTES)
        if not head:
            return ()
        size = int.from_bytes(head, "big")
        if len(head) < LENGTH_BYTES or size > BATCH_BYTES_MAX:
            raise BrokenOutput("the chunks of a file are in no frame")
        body = self._chunks.read(size)
        try:
            batch = decode_batch(body)
        except ValueError as error:
            raise BrokenOutput(f"the chunks of a file are broken: {error}") from error
        if not batch:
            raise BrokenOutput("a batch of chunks is empty")
        return batch

    def close(self) -> None:
        """Let go of the chunks."""
        self._chunks.close()


async def _gathered(content: AsyncIterable[bytes]) -> AsyncIterator[bytes]:
    """The content in fewer pieces, where they are small: each is a hop to a thread."""
    pieces: list[bytes] = []
    size = 0
    async for piece in content:
        pieces.append(piece)
        size += len(piece)
        if size >= WRITE_BYTES:
            yield b"".join(pieces)
            pieces, size = [], 0
    if size:
        yield b"".join(pieces)


@asynccontextmanager
async def spooled(folder: Path) -> AsyncIterator[Spooled]:
    """Files in a folder of their own, which is removed whatever happens."""
    own = folder / secrets.token_hex(8)
    own.mkdir(mode=0o700)
    try:
        files = Spooled(own)
        try:
            yield files
        finally:
            files.close()
    finally:
        await on_disk(lambda: shutil.rmtree(own, ignore_errors=True))


@contextmanager
def spool_folder(parent: Path) -> Iterator[Path]:
    """A folder for what is spooled, removed at the end; those that a crash left are, too.

    Several servers may have one data folder: each locks its own.
    """
    parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    for other in parent.iterdir():
        _remove_if_left(other)
    own, lock = _locked(parent)
    try:
        yield own
    finally:
        shutil.rmtree(own, ignore_errors=True)
        os.close(lock)


def _locked(parent: Path) -> tuple[Path, int]:
    while True:
        own = Path(tempfile.mkdtemp(dir=parent))
        lock = os.open(own, os.O_RDONLY | os.O_DIRECTORY)
        fcntl.flock(lock, fcntl.LOCK_EX)
        # Another server that starts at this moment may have taken it for one that was left.
        if own.is_dir():
            return own, lock
        os.close(lock)


def _remove_if_left(folder: Path) -> None:
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
        finally:
            os.close(descriptor)
