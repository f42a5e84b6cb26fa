"""A server that reads files, and ways to have it read some."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from famulus import NoSettings, Plugin, need
from famulus.testing import TestServer, kernel_with
from famulus_extraction.processes import Processes
from famulus_schemas.ports import EXTRACTION
from famulus_schemas.retrieval import Chunk, Chunking, Extraction, ExtractionRefused


class User(Plugin[NoSettings]):
    """Reaches the port for a test."""

    name = "user"
    extraction = need(EXTRACTION)


class Reading:
    """The port, and what is behind it."""

    def __init__(self, server: TestServer, folder: Path) -> None:
        self.server = server
        self.folder = folder
        self.port: Extraction = server.plugin("user").extraction

    @property
    def processes(self) -> Processes:
        found: Processes = self.server.plugin("extraction")._processes
        return found

    def spooled(self) -> list[Path]:
        """What lies in the folder of this server, which itself stays."""
        [own] = (self.folder / "extraction").iterdir()
        return list(own.iterdir())

    async def chunks(
        self,
        content: bytes | AsyncIterable[bytes],
        filename: str = "a.txt",
        *,
        media_type: str = "",
        max_tokens: int = 800,
        overlap_tokens: int = 400,
    ) -> Sequence[Chunk]:
        chunking = Chunking(max_tokens=max_tokens, overlap_tokens=overlap_tokens)
        source = pieces(content) if isinstance(content, bytes) else content
        batches = self.port.chunks(
            source, filename=filename, media_type=media_type, chunking=chunking
        )
        return [chunk async for batch in batches for chunk in batch]

    async def text(self, content: bytes, filename: str = "a.txt", **more: Any) -> str:
        """All that was read, which is short."""
        [chunk] = await self.chunks(content, filename, max_tokens=100_000, **more)
        return chunk.text

    async def refusal(
        self, content: bytes, filename: str = "a.txt", **more: Any
    ) -> tuple[str, str]:
        """Why a file is not read: code and sentence."""
        with pytest.raises(ExtractionRefused) as refused:
            await self.chunks(content, filename, **more)
        assert refused.value.message.endswith((".", '"')), refused.value.message
        return refused.value.code, refused.value.message


async def pieces(content: bytes, size: int = 65_536) -> AsyncIterator[bytes]:
    for at in range(0, len(content), size):
        yield content[at : at + size]


@asynccontextmanager
async def reading_with(
    *plugins: type[Plugin[Any]], folder: Path, **settings: Any
) -> AsyncIterator[Reading]:
    async with kernel_with(
        "extraction", *plugins, User, settings={"extraction": settings}, data_dir=folder
    ) as server:
        yield Reading(server, folder)


@pytest.fixture
async def reading(tmp_path: Path) -> AsyncIterator[Reading]:
    async with reading_with(folder=tmp_path) as started:
        yield started
        assert started.spooled() == []
