"""The few processes that read files: kept while they are of use, and what became of a file."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from famulus_extraction.messages import Done, Failed, Job, Limits, Refused, Reply
from famulus_extraction.process import Ended, ProcessFailed, ReadingProcess
from famulus_schemas.gauges import Values
from famulus_schemas.retrieval import ExtractionRefused

if TYPE_CHECKING:
    from famulus.log import Log
    from famulus_extraction.settings import ExtractionSettings

BY_THE_FILE = frozenset(
    {
        signal.SIGABRT,
        signal.SIGBUS,
        signal.SIGFPE,
        signal.SIGILL,
        signal.SIGSEGV,
        signal.SIGSYS,
        signal.SIGTRAP,
        signal.SIGXCPU,
        signal.SIGXFSZ,
    }
)
"""What ends a process for what it does itself. Any other signal was sent by somebody."""


class ExtractionFailed(Exception):
    """A file could not be read for a reason that does not lie in it; another time it may be."""


class Processes:
    """Lends a process for each file; what is left idle is ended after a while."""

    def __init__(self, settings: ExtractionSettings, *, folder: Path, log: Log) -> None:
        self._settings = settings
        self._folder = folder
        self._log = log
        self._limits = Limits(
            memory_bytes_max=settings.memory_bytes_max,
            output_bytes_max=settings.output_bytes_max,
            text_bytes_max=settings.text_bytes_max,
            unpacked_bytes_max=settings.unpacked_bytes_max,
            unpacked_ratio_max=settings.unpacked_ratio_max,
            unpacked_entries_max=settings.unpacked_entries_max,
            wall_s=settings.wall_s,
            niceness=settings.niceness,
        )
        self._busy: set[ReadingProcess] = set()
        self._is_closed = False
        self._idle: dict[ReadingProcess, asyncio.TimerHandle] = {}
        self._ending: set[asyncio.Task[None]] = set()
        self.trouble = ""
        """Why the last process that was to be started did not; empty where it did."""

    @property
    def idle(self) -> list[int]:
        """The numbers of the processes that wait for a file."""
        return [process.pid for process in self._idle]

    @property
    def counts(self) -> Values:
        """How many processes there are, by whether they have a file."""
        return {("busy",): float(len(self._busy)), ("idle",): float(len(self._idle))}

    async def read(self, job: Job) -> Done:
        """Have a file read. Raises ExtractionRefused where it cannot be, or ExtractionFailed."""
        reply, files = await self._read(job)
        if files > 1 and _may_be_anothers(reply):
            # What an earlier file left in the process may be to blame: only a fresh one tells.
            self._log.info("file_read_again_in_a_fresh_process", reason=_reason(reply))
            reply, _ = await self._read(job)
        if isinstance(reply, Done):
            return reply
        if isinstance(reply, Refused):
            raise ExtractionRefused("invalid_file", reply.message)
        if isinstance(reply, Ended) and reply.signal_number in BY_THE_FILE:
            raise ExtractionRefused("invalid_file", _sentence(reply.signal_number))
        raise ExtractionFailed(_reason(reply))

    async def _read(self, job: Job) -> tuple[Reply | ProcessFailed, int]:
        async with self._lent() as process:
            try:
                reply = await process.read(job, wall_s=self._settings.wall_s)
            except TimeoutError:
                await process.kill()
                message = _took_too_long(self._settings.wall_s)
                return Refused(nonce=job.nonce, message=message, limit="time"), process.files
            except ProcessFailed as error:
                await process.kill()
                self._log.warning("file_ended_its_process", reason=str(error), kind=job.kind)
                return error, process.files
            if isinstance(reply, Done) or (isinstance(reply, Refused) and reply.limit is None):
                self._keep(process)
            else:
                await process.kill()
            return reply, process.files

    @asynccontextmanager
    async def _lent(self) -> AsyncIterator[ReadingProcess]:
        process = self._take() or await self._start()
        self._busy.add(process)
        try:
            yield process
        except BaseException:
            # Whoever leaves in the middle, as by being cancelled, leaves it with a file.
            await process.kill()
            raise
        finally:
            self._busy.discard(process)

    def _take(self) -> ReadingProcess | None:
        if not self._idle:
            return None
        process, timer = self._idle.popitem()
        timer.cancel()
        return process

    async def _start(self) -> ReadingProcess:
        try:
            process = await ReadingProcess.start(
                self._limits, folder=self._folder, start_s=self._settings.start_s
            )
        except (ProcessFailed, OSError) as error:
            self.trouble = str(error)
            self._log.error("reading_process_did_not_start", reason=str(error))
            raise ExtractionFailed(str(error)) from error
        self.trouble = ""
        if self._is_closed:
            await process.kill()
            raise ExtractionFailed("the server is being stopped")
        return process

    def _keep(self, process: ReadingProcess) -> None:
        if self._is_closed or process.files >= self._settings.files_per_process_max:
            self._end(process)
            return
        loop = asyncio.get_running_loop()
        self._idle[process] = loop.call_later(self._settings.idle_s, self._forget, process)

    def _forget(self, process: ReadingProcess) -> None:
        del self._idle[process]
        self._end(process)

    def _end(self, process: ReadingProcess) -> None:
        task = asyncio.create_task(process.kill())
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)

    async def close(self) -> None:
        """End all of them; a file that one still reads fails, to be read another time."""
        self._is_closed = True
        while process := self._take():
            await process.kill()
        for process in tuple(self._busy):
            await process.kill()
        if self._ending:
            await asyncio.wait(self._ending)


def _may_be_anothers(reply: Reply | ProcessFailed) -> bool:
    if isinstance(reply, Refused):
        return reply.limit is not None
    return isinstance(reply, ProcessFailed | Failed)


def _reason(reply: Reply | ProcessFailed) -> str:
    if isinstance(reply, Failed | Refused):
        return reply.message
    return str(reply)


def _sentence(signal_number: int | None) -> str:
    if signal_number == signal.SIGXCPU:
        return "The file takes longer to be read than one file may take."
    return "The file is damaged in such a way that its reader crashed."


def _took_too_long(wall_s: float) -> str:
    return f"The file takes longer to be read than the {wall_s:g} s that one file may take."
