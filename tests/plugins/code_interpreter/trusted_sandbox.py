"""A sandbox for code that a test wrote itself, as a stranger's plugin would provide one.

Its boxes keep nobody out of anything. They are processes with folders of their own, on any machine.
"""

from __future__ import annotations

import asyncio
import base64
import itertools
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import AsyncIterable, AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec

from famulus import NoSettings, Plugin
from famulus_schemas.ports import SANDBOX
from famulus_schemas.sandbox import (
    BoxFile,
    BoxFileMissing,
    BoxFileRefused,
    BoxGone,
    BoxLimits,
    CellLimits,
    CutOutput,
    EndOutput,
    ErrorOutput,
    FilesOutput,
    ImageOutput,
    Output,
    Probe,
    ResultOutput,
    SandboxBusy,
    SandboxUnavailable,
    TextOutput,
)

LOOP = Path(os.environ.get("TRUSTED_LOOP") or Path(__file__).with_name("trusted_loop.py"))


class TrustedBox:
    """One process, and one folder."""

    def __init__(self, id: str, session: str, project: str) -> None:
        self.id = id
        self.session = session
        self.project = project
        self.cells = 0
        self.home = Path(tempfile.mkdtemp(prefix="famulus_box_"))
        self._process: asyncio.subprocess.Process | None = None
        self._is_alive = True
        self._lock = asyncio.Lock()

    @property
    def is_alive(self) -> bool:
        return self._is_alive

    async def start(self) -> None:
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-S", "-E", str(LOOP)),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            cwd=self.home,
            limit=100_000_000,
        )

    async def run(self, code: str, *, limits: CellLimits | None = None) -> AsyncIterator[Output]:
        limits = limits or CellLimits()
        async with self._lock:
            self._hold()
            assert self._process is not None
            assert self._process.stdin is not None
            self.cells += 1
            self._process.stdin.write(msgspec.json.encode(code) + b"\n")
            left = {"stdout": limits.stream_bytes, "stderr": limits.stream_bytes}
            status = "ok"
            try:
                deadline = asyncio.get_running_loop().time() + limits.wall_s
                while True:
                    try:
                        async with asyncio.timeout_at(None if status == "timeout" else deadline):
                            answer = await self._answer()
                    except TimeoutError:
                        status = "timeout"
                        self._process.send_signal(signal.SIGINT)
                        continue
                    if "end" in answer:
                        break
                    if "error" in answer and status == "ok":
                        status = "error"
                    for output in _outputs(answer, left):
                        yield output
            except (GeneratorExit, asyncio.CancelledError):
                await self.close()
                raise
            yield EndOutput(status=status, wall_s=0.0)  # type: ignore[arg-type]

    async def _answer(self) -> Any:
        assert self._process is not None
        assert self._process.stdout is not None
        line = await self._process.stdout.readline()
        if not line:
            await self.close()
            raise BoxGone("exited", "The process ended.")
        return msgspec.json.decode(line)

    def _hold(self) -> None:
        if not self._is_alive:
            raise BoxGone("closed", "The box was closed.")

    async def put(self, path: str, chunks: AsyncIterable[bytes]) -> BoxFile:
        async with self._lock:
            self._hold()
            content = b"".join([chunk async for chunk in chunks])
            target = self.home / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
            return BoxFile(path=path, bytes=len(content))

    async def get(self, path: str, *, bytes_max: int | None = None) -> AsyncIterator[bytes]:
        async with self._lock:
            self._hold()
            target = self.home / path
            if not target.is_file() or target.is_symlink():
                raise BoxFileMissing(path)
            content = target.read_bytes()
            if bytes_max is not None and len(content) > bytes_max:
                raise BoxFileRefused("it is too large")
            yield content

    async def list(self) -> Sequence[BoxFile]:
        self._hold()
        found = sorted(path for path in self.home.rglob("*") if path.is_file())
        return [
            BoxFile(path=path.relative_to(self.home).as_posix(), bytes=path.stat().st_size)
            for path in found
        ]

    async def delete(self, path: str) -> None:
        self._hold()
        try:
            (self.home / path).unlink()
        except FileNotFoundError as error:
            raise BoxFileMissing(path) from error

    async def interrupt(self) -> bool:
        raise NotImplementedError

    async def close(self) -> None:
        self._is_alive = False
        assert self._process is not None
        with suppress(ProcessLookupError):
            self._process.kill()
        await self._process.wait()
        shutil.rmtree(self.home, ignore_errors=True)


def _outputs(answer: Any, left: dict[str, int]) -> list[Output]:
    if "stream" in answer:
        name, text = answer["stream"], answer["text"]
        kept = text[: left[name]]
        left[name] -= len(kept)
        told: list[Output] = [TextOutput(stream=name, text=kept)] if kept else []
        more = len(text) - len(kept)
        return [*told, CutOutput(what=name, left_out=more)] if more else told
    if "image" in answer:
        return [ImageOutput(data=base64.b64decode(answer["image"]))]
    if "result" in answer:
        return [ResultOutput(text=answer["result"])]
    if "error" in answer:
        return [ErrorOutput(name=answer["error"], traceback=answer["traceback"])]
    changed = tuple(BoxFile(path=path, bytes=size) for path, size in answer["changed"])
    return [FilesOutput(changed=changed, deleted=tuple(answer["deleted"]))]


class TrustedSandbox(Plugin[NoSettings]):
    """Provides SANDBOX, as far as a test has it do so."""

    name = "trusted_sandbox"
    provides = (SANDBOX,)

    @asynccontextmanager
    async def lifespan(self) -> AsyncIterator[None]:
        self.boxes: dict[tuple[str, str], TrustedBox] = {}
        self.opened: list[TrustedBox] = []
        self.is_busy = False
        self.found = Probe(
            provider=self.name, level="isolated", python="3.11.7", packages=("numpy 2.3.1",)
        )
        self._numbers = itertools.count(1)
        self.provide(SANDBOX, self)
        try:
            yield
        finally:
            for box in self.opened:
                await box.close()

    async def probe(self) -> Probe:
        return self.found

    async def open(
        self, session: str, *, project: str, limits: BoxLimits | None = None
    ) -> TrustedBox:
        if self.found.level == "none":
            raise SandboxUnavailable(self.found.reasons)
        if self.is_busy:
            raise SandboxBusy(1)
        box = self.boxes.get((project, session))
        if box is None or not box.is_alive:
            box = TrustedBox(self.new_id("box_"), session, project)
            await box.start()
            self.boxes[project, session] = box
            self.opened.append(box)
        return box

    def find(self, session: str, *, project: str) -> TrustedBox | None:
        return self.boxes.get((project, session))
