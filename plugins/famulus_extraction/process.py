"""One process that reads files, seen from the server."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import IO

from famulus_extraction.messages import (
    LENGTH_BYTES,
    REPLY_BYTES_MAX,
    Job,
    Limits,
    Ready,
    Reply,
    decode_reply,
    frame,
)

SAID_BYTES_MAX = 500
INHERITED = ("LD_LIBRARY_PATH", "PYTHONHOME")
"""All that is passed on of the environment: where Python and its libraries lie."""


class ProcessFailed(Exception):
    """The process is of no use: it did not start, ended, or said what it must not."""


class Ended(ProcessFailed):
    """It ended while it had a file."""

    def __init__(self, signal_number: int | None, message: str) -> None:
        self.signal_number = signal_number
        super().__init__(message)


class ReadingProcess:
    """A started process, in a session of its own, that reads one file at a time."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._killed = False
        self.files = 0
        """How many it was given."""

    @property
    def pid(self) -> int:
        """Its number, which is also its group's."""
        return self._process.pid

    @classmethod
    async def start(cls, limits: Limits, *, folder: Path, start_s: float) -> ReadingProcess:
        """One that is ready. Raises ProcessFailed or OSError."""
        with tempfile.TemporaryFile(dir=folder) as said:
            started = cls(await _spawn(folder, said))
            try:
                async with asyncio.timeout(start_s):
                    if not isinstance(await started._ask(frame(limits)), Ready):
                        raise ProcessFailed("the process that reads files began with nonsense")
            except TimeoutError:
                await started.kill()
                raise ProcessFailed(
                    f"the process that reads files was not ready within {start_s:g} s"
                ) from None
            except ProcessFailed as error:
                await started.kill()
                said.seek(0)
                last = said.read()[-SAID_BYTES_MAX:].decode(errors="replace").strip()
                raise ProcessFailed(f"{error}: {last}" if last else str(error)) from error
            except BaseException:
                await started.kill()
                raise
        return started

    async def read(self, job: Job, *, wall_s: float) -> Reply:
        """What it answers. Raises TimeoutError, Ended or ProcessFailed; then it must be killed."""
        self.files += 1
        async with asyncio.timeout(wall_s):
            reply = await self._ask(frame(job))
        if isinstance(reply, Ready) or reply.nonce != job.nonce:
            raise ProcessFailed("the process that reads files answered what it was not asked")
        return reply

    async def _ask(self, message: bytes) -> Reply:
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        try:
            stdin.write(message)
            await stdin.drain()
            size = int.from_bytes(await stdout.readexactly(LENGTH_BYTES), "big")
            if size > REPLY_BYTES_MAX:
                raise ProcessFailed("the process that reads files gave an endless answer")
            return decode_reply(await stdout.readexactly(size))
        except (asyncio.IncompleteReadError, ConnectionError):
            raise await self._ended() from None
        except ValueError as error:
            raise ProcessFailed("the process that reads files gave a broken answer") from error

    async def _ended(self) -> ProcessFailed:
        # Its end of the pipe is closed: that was its last act, unless something holds it up.
        self._kill_group()
        code = await self._process.wait()
        if code >= 0:
            return Ended(None, f"the process that reads files ended with status {code}")
        name = signal.Signals(-code).name
        return Ended(-code, f"the process that reads files was ended by {name}")

    async def kill(self) -> None:
        """End it and all that it started, and wait until it has ended."""
        self._kill_group()
        await self._process.wait()

    def _kill_group(self) -> None:
        # Once: afterwards the number may be another's.
        if not self._killed:
            self._killed = True
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)


async def _spawn(folder: Path, said: IO[bytes]) -> asyncio.subprocess.Process:
    inherited = {name: os.environ[name] for name in INHERITED if name in os.environ}
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-P",
        "-s",
        "-m",
        "famulus_extraction.child",
        str(os.getpid()),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=said,
        cwd=folder,
        env={
            **inherited,
            "LANG": "C.UTF-8",
            "PATH": os.defpath,
            # Plugins may lie anywhere that this process finds them.
            "PYTHONPATH": os.pathsep.join(map(os.path.abspath, sys.path)),
            "PYTHONDONTWRITEBYTECODE": "1",
            "TMPDIR": str(folder),
        },
        start_new_session=True,
    )
