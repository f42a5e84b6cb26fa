"""The plugin: EXTRACTION, by our extractors and those of others."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
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
from famulus_schemas.gauges import Gauge
from famulus_schemas.health import Health
from famulus_schemas.ports import EXTRACTION
from famulus_schemas.retrieval import Chunker, Extractor


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
        readers = [*self._well_named(self.gather("register_extractors")), *extractors()]
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

    def _well_named(self, readers: Sequence[Extractor]) -> Iterator[Extractor]:
        for reader in readers:
            try:
                named(reader.function)
            except ValueError as error:
                self.log.error("extractor_left_out", extractor=reader.name, reason=str(error))
            else:
                yield reader

    @hookimpl
    def register_gauges(self) -> list[Gauge]:
        """The processes that read files."""
        return [
            Gauge(
                name="famulus_reading_processes",
                help="Processes that read files, busy or idle.",
                labels=("state",),
                read=lambda: self._processes.counts if self._processes else {},
            )
        ]

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
            try:
                named(way.function)
            except ValueError as error:
                raise CannotStart(f"the chunker {name!r} is of no use: {error}") from error
            return way
    known = ", ".join(sorted({way.name for way in ways}))
    raise CannotStart(f"there is no chunker {name!r}; there are: {known}")
