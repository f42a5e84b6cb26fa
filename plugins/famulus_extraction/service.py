"""EXTRACTION: a content is written down, read by a process, and its chunks are handed on."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterable, AsyncIterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from famulus_extraction.choosing import Choice
from famulus_extraction.loading import named
from famulus_extraction.messages import Done, Job
from famulus_extraction.processes import ExtractionFailed, Processes
from famulus_extraction.spool import BrokenOutput, Spooled, spooled
from famulus_schemas.retrieval import Chunk, Chunker, Chunking

if TYPE_CHECKING:
    from famulus_extraction.settings import ExtractionSettings


class FileExtraction:
    """The Extraction port."""

    def __init__(
        self,
        settings: ExtractionSettings,
        *,
        choice: Choice,
        chunker: Chunker,
        processes: Processes,
        folder: Path,
    ) -> None:
        self._settings = settings
        self._choice = choice
        self._chunker = named(chunker.function)
        self._processes = processes
        self._folder = folder
        self._slots = asyncio.Semaphore(settings.extractions_at_once_max)

    async def chunks(
        self,
        content: AsyncIterable[bytes],
        *,
        filename: str,
        media_type: str = "",
        chunking: Chunking,
    ) -> AsyncIterator[Sequence[Chunk]]:
        """As Extraction.chunks. Raises ExtractionFailed where the server is at fault."""
        async with spooled(self._folder) as files:
            # Given back before the chunks are: who takes them may need long for each.
            async with self._slots:
                await files.fill(content, bytes_max=self._settings.file_bytes_max)
                done = await self._read(files, filename, media_type, chunking)
            try:
                async for batch in files.batches(done.chunks):
                    yield batch
            except BrokenOutput as error:
                raise ExtractionFailed(str(error)) from error

    async def _read(
        self, files: Spooled, filename: str, media_type: str, chunking: Chunking
    ) -> Done:
        extractor = self._choice.of(filename, media_type, files.head)
        return await self._processes.read(
            Job(
                nonce=secrets.token_hex(8),
                source=str(files.source),
                output=str(files.output),
                kind=extractor.name,
                extractor=named(extractor.function),
                chunker=self._chunker,
                chunking=chunking,
            )
        )
