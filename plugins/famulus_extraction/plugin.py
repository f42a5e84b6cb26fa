"""The plugin: EXTRACTION, by our extractors and those of others."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import ClassVar

from famulus import CannotStart, Plugin, hookimpl
from famulus_extraction.choosing import Choice
from famulus_extraction.known import chunkers, extractors
from famulus_extraction.loading import named
from famulus_extraction.processes import Processes
from famulus_extraction.service import FileExtraction
from famulus_extraction.settings import ExtractionSettings
from famulus_extraction.spool import spool_folder
from famulus_schemas.health import Health
from famulus_schemas.ports import EXTRACTION
from famulus_schemas.retrieval import Chunker


class ExtractionPlugin(Plugin[ExtractionSettings]):
    """Provides EXTRACTION: reads files in processes of their own, and cuts them into chunks."""

    name = "extraction"
    provides = (EXTRACTION,)
    gathers: ClassVar[tuple[str, ...]] = ("register_extractors", "register_chunkers")

    _choice: Choice | None = None
    _processes: Processes | None = None

    @asynccontextmanager
    async def lifespan(self) -> AsyncIterator[None]:
        """Provide the port; no process is started before there is a file."""
        # Others' come first: so they can take over a type that we read.
        readers = [*self.gather("register_extractors"), *extractors()]
        for reader in readers:
            named(reader.function)
        ways = [*self.gather("register_chunkers"), *chunkers()]
        chunker = _chosen(self.settings.chunker, ways)
        self._choice = Choice(readers)
        with spool_folder(self.data_dir / "extraction") as folder:
            self._processes = Processes(self.settings, folder=folder, log=self.log)
            service = FileExtraction(
                self.settings,
                choice=self._choice,
                chunker=chunker,
                processes=self._processes,
                folder=folder,
            )
            self.provide(EXTRACTION, service)
            try:
                yield
            finally:
                await self._processes.close()

    @hookimpl
    async def check_health(self) -> Health:
        """Whether processes can be started, and what is not read for want of a library."""
        if self._choice is None or self._processes is None:
            return Health(status="down", detail="files are not read yet")
        if self._processes.trouble:
            return Health(status="degraded", detail=f"no file is read: {self._processes.trouble}")
        missing = [
            f"{', '.join(names)}: not read; {remedy}"
            for remedy, names in self._choice.missing.items()
        ]
        # No trouble: whoever wants no more than text has all of it.
        return Health(detail="; ".join(missing))


def _chosen(name: str, ways: Sequence[Chunker]) -> Chunker:
    for way in ways:
        if way.name == name:
            named(way.function)
            return way
    known = ", ".join(sorted({way.name for way in ways}))
    raise CannotStart(f"there is no chunker {name!r}; there are: {known}")
