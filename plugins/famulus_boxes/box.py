"""One box as the server has it: what is asked of it, in turn, and how it ends."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Awaitable,
    Callable,
    Coroutine,
    Sequence,
)
from functools import partial
from typing import Any, NoReturn

from msgspec.structs import asdict

from famulus_boxes.cell import CellOutputs, Flooded, Stopped
from famulus_boxes.channel import STREAMS, ChannelClosed
from famulus_boxes.frames import BLOB_BYTES_MAX, ForgedFrame, Reply
from famulus_boxes.paths import checked, is_path
from famulus_boxes.settings import BoxSettings
from famulus_boxes.starting import Started
from famulus_boxes.wall import Usage
from famulus_schemas.sandbox import (
    BoxFile,
    BoxFileMissing,
    BoxFileRefused,
    BoxGone,
    BoxLimits,
    CellLimits,
    ImageOutput,
    Output,
    Why,
)

_DRAIN_BYTES_MAX = 2_000_000
"""More than pipes hold: what was written before a cell ended is read in so many bytes."""
_STRAY_MAX = 1_000
"""Replies to earlier requests that are passed over before they are taken for a flood."""


class LiveBox:
    """A box. What it is, Protocol `Box` says."""

    def __init__(self, id: str, started: Started, settings: BoxSettings) -> None:
        self.id = id
        self.session = ""
        self.project = ""
        self.on_gone: Callable[[], None] = lambda: None
        self._started = started
        self._settings = settings
        self._loop = asyncio.get_running_loop()
        self._turn = asyncio.Lock()
        self._gone: BoxGone | None = None
        self._ending: asyncio.Task[None] | None = None
        self._settling: set[asyncio.Task[None]] = set()
        self._cell: _RunningCell | None = None
        self._requests = self._strays = 0
        self.cells = 0
        self.used_at = self._loop.time()
        self.idle_cpu_s: float | None = None
        self.seen_running_s = 0.0

    # -- what it is ------------------------------------------------------------------------

    @property
    def is_alive(self) -> bool:
        """Whether it can still be asked something."""
        return self._gone is None

    @property
    def has_exited(self) -> bool:
        """Whether its process ended, which nobody is told who does not ask it anything."""
        return self._started.process.returncode is not None

    @property
    def is_busy(self) -> bool:
        """Whether it is doing something."""
        return self._turn.locked()

    @property
    def is_running(self) -> bool:
        """Whether it runs a cell."""
        return self._cell is not None

    @property
    def limits(self) -> BoxLimits:
        """What it may have."""
        return self._started.limits

    @property
    def cell_limits(self) -> CellLimits:
        """Those of a cell for which none are given."""
        return self._settings.cell_limits()

    @property
    def python(self) -> str:
        """The version of its Python."""
        return self._started.python

    def usage(self, limits: BoxLimits | None = None) -> Usage:
        """What it takes; may block for milliseconds."""
        return self._started.grip.usage(limits or self.limits)

    # -- cells -----------------------------------------------------------------------------

    async def run(
        self, code: str, *, limits: CellLimits | None = None
    ) -> AsyncGenerator[Output, None]:
        """Run a cell; see `Box`."""
        limits = limits or self._settings.cell_limits()
        await self._take_turn()
        cell = _RunningCell(self, limits)
        try:
            self.cells += 1
            self._cell = cell
            await self._begin("run", code.encode(errors="replace"), limits=asdict(limits))
            cell.start_clock()
            async for output in self._outputs(cell):
                yield output
        except ChannelClosed:
            await self._lost()
        except TimeoutError:
            await self._die("timeout", "it did not take its code")
        except Flooded:
            await self._die("output", f"it wrote more than {limits.flood_bytes:,} bytes")
        except ForgedFrame as error:
            await self._die("protocol", f"its answer is forged: {error}")
        finally:
            if cell.is_over or not self.is_alive:
                self._over(cell)
            else:
                # Whoever asked has left: the turn is over once the code has stopped.
                cell.interrupt("interrupted")
                self._settle(self._run_out(cell))

    async def _outputs(self, cell: _RunningCell) -> AsyncIterator[Output]:
        channel, outputs = self._started.channel, cell.outputs
        while True:
            try:
                found = channel.reply()
            except ChannelClosed:
                # What it wrote before it ended says what it ended of.
                for output in self._written(outputs, whole=True):
                    yield output
                raise
            # Looked at after the reply: whatever was written before it is there by now.
            for output in self._written(outputs, whole=found is not None):
                yield output
            if found is None:
                if not cell.has_text:
                    await channel.wait()
                continue
            reply, blob = found
            if reply.id != self._requests:
                outputs.count()
            elif reply.kind == "done":
                cell.is_over = True
                for output in outputs.ends(stopped=cell.stopped, wall_s=cell.wall_s()):
                    yield output
                return
            else:
                shown = outputs.reply(reply, blob, cell.stopped)
                if isinstance(shown, ImageOutput):
                    # It waits, so that what is written after the image is told after it.
                    await self._send("taken")
                if shown is not None:
                    yield shown

    def _written(self, outputs: CellOutputs, *, whole: bool) -> list[Output]:
        """What was written; `whole` reads until nothing is left, else a piece of each stream."""
        assert self._cell is not None
        found: list[Output] = []
        self._cell.has_text = False
        for stream in STREAMS:
            read = 0
            while data := self._started.channel.text(stream):
                self._cell.has_text = True
                read += len(data)
                if (output := outputs.text(stream, data)) is not None:
                    found.append(output)
                if not whole or read > _DRAIN_BYTES_MAX:
                    break
        return found

    async def _run_out(self, cell: _RunningCell) -> None:
        try:
            with contextlib.suppress(BoxGone):
                try:
                    async for _ in self._outputs(cell):
                        pass
                except ChannelClosed:
                    await self._lost()
                except (Flooded, ForgedFrame, TimeoutError):
                    await self._die("closed", "its last cell was given up")
        finally:
            self._over(cell)

    def _over(self, cell: _RunningCell) -> None:
        cell.stop_clock()
        self._cell = None
        self._release()

    async def interrupt(self) -> bool:
        """Stop the running cell; see `Box`."""
        if self._cell is None:
            return False
        self._cell.interrupt("interrupted")
        return True

    def overrun(self, seconds: float) -> None:
        """End a box whose code did not stop when it was told to."""
        self.end_soon("timeout", f"its code did not stop within {seconds:g} s")

    def send_interrupt(self) -> None:
        """Send the signal."""
        if self.is_alive:
            self._started.grip.interrupt()

    # -- files -----------------------------------------------------------------------------

    async def put(self, path: str, chunks: AsyncIterable[bytes]) -> BoxFile:
        """Write a file; see `Box`."""
        path = checked(path)
        async with self._request() as request:
            total = 0
            request.rest = self._aborted
            await self._begin("put", path=path)
            async for chunk in chunks:
                total += len(chunk)
                if total > self.limits.files_bytes:
                    raise BoxFileRefused(f"{path!r} is larger than a box")
                for at in range(0, len(chunk), BLOB_BYTES_MAX):
                    await self._send("data", chunk[at : at + BLOB_BYTES_MAX])
            request.rest = self._put_answer
            await self._send("end")
            reply = await self._put_answer()
            request.rest = None
            if reply.kind == "refused":
                raise BoxFileRefused(f"{path!r} cannot be written: {reply.text[:200]}")
            return BoxFile(path=path, bytes=total)

    async def _aborted(self) -> None:
        await self._send("abort")
        await self._put_answer()

    async def _put_answer(self) -> Reply:
        reply, _ = await self._answer()
        if reply.kind not in ("done", "refused"):
            raise ForgedFrame(f"{reply.kind} is no reply to a file")
        return reply

    async def get(self, path: str, *, bytes_max: int | None = None) -> AsyncGenerator[bytes, None]:
        """Read a file; see `Box`."""
        path = checked(path)
        most = self._settings.file_bytes if bytes_max is None else bytes_max
        async with self._request() as request:
            # What is on its way would stand before the next answer.
            request.rest = partial(self._read_out, most)
            await self._begin("get", path=path, most=most)
            reply, _ = await self._answer()
            if reply.kind == "missing":
                request.rest = None
                raise BoxFileMissing(path)
            if reply.kind != "file":
                raise ForgedFrame(f"{reply.kind} is no file")
            size, read = reply.size, 0
            while True:
                reply, blob = await self._answer()
                if reply.kind == "done":
                    request.rest = None
                    break
                read += len(blob)
                if reply.kind != "data" or not blob or read > min(size, most):
                    raise ForgedFrame("it is not the file that was announced")
                yield blob
            if size > most:
                raise BoxFileRefused(f"{path!r} has {size:,} bytes; {most:,} may be taken out")

    async def _read_out(self, most: int) -> None:
        read = 0
        while read <= most:
            reply, blob = await self._answer()
            read += len(blob)
            if reply.kind in ("done", "missing"):
                return
        raise ForgedFrame("the file does not end")

    async def list(self) -> Sequence[BoxFile]:
        """The files; see `Box`."""
        found: list[BoxFile] = []
        most = self._settings.files_told
        async with self._request():
            await self._begin("list", most=most)
            for _ in range(most + 1):
                reply, _ = await self._answer()
                if reply.kind == "done":
                    return found
                if reply.kind != "changed":
                    break
                if is_path(reply.name):
                    found.append(BoxFile(path=reply.name, bytes=reply.size))
            raise ForgedFrame("it is no list of files")

    async def delete(self, path: str) -> None:
        """Remove a file; see `Box`."""
        path = checked(path)
        async with self._request():
            await self._begin("delete", path=path)
            reply, _ = await self._answer()
            if reply.kind == "missing":
                raise BoxFileMissing(path)
            if reply.kind != "done":
                raise ForgedFrame(f"{reply.kind} is no reply to this")

    # -- asking ----------------------------------------------------------------------------

    @contextlib.asynccontextmanager
    async def _request(self) -> AsyncIterator[_Request]:
        """One turn, in which every fault of the box is the end of it."""
        await self._take_turn()
        request = _Request()
        try:
            async with self._judged():
                yield request
        finally:
            if request.rest is None or not self.is_alive:
                self._release()
            else:
                # Whoever asked does not wait for it: the box may take its time.
                self._settle(self._finish(request.rest))

    async def _finish(self, rest: Callable[[], Awaitable[object]]) -> None:
        """Do what was left of a request that was given up; the turn is over then."""
        try:
            with contextlib.suppress(BoxGone):
                async with self._judged(), self._in_time():
                    await self._started.channel.send_raw(b"")
                    await rest()
        finally:
            self._release()

    @contextlib.asynccontextmanager
    async def _judged(self) -> AsyncIterator[None]:
        try:
            yield
        except ChannelClosed:
            await self._lost()
        except TimeoutError:
            await self._die("timeout", "it did not answer")
        except ForgedFrame as error:
            await self._die("protocol", f"its answer is forged: {error}")

    async def _take_turn(self) -> None:
        await self._turn.acquire()
        if self._gone is not None:
            self._turn.release()
            raise self._gone
        self.idle_cpu_s = None

    def _release(self) -> None:
        self.used_at = self._loop.time()
        self._turn.release()

    def _in_time(self) -> asyncio.Timeout:
        return asyncio.timeout(self._settings.transfer_s)

    async def _begin(self, kind: str, blob: bytes = b"", **fields: object) -> None:
        self._requests += 1
        await self._send_all(kind, blob, fields)

    async def _send(self, kind: str, blob: bytes = b"") -> None:
        await self._send_all(kind, blob, {})

    async def _send_all(self, kind: str, blob: bytes, fields: dict[str, object]) -> None:
        head = {"id": self._requests, "kind": kind, **fields}
        async with self._in_time():
            await self._started.channel.send(head, blob)

    async def _answer(self) -> tuple[Reply, bytes]:
        """The next reply to the request. Raises ForgedFrame, ChannelClosed and TimeoutError."""
        channel = self._started.channel
        async with self._in_time():
            while True:
                found = channel.reply()
                if found is None:
                    await channel.wait_for_reply()
                elif found[0].id == self._requests:
                    return found
                else:
                    self._strays += 1
                    if self._strays > _STRAY_MAX:
                        raise ForgedFrame("nobody asked for it")

    # -- the end ---------------------------------------------------------------------------

    async def close(self) -> None:
        """Kill the box; see `Box`."""
        await self.end("closed", "it was closed")

    async def end(self, why: Why, message: str) -> None:
        """Kill the box for a reason, and wait until none of its processes is left."""
        self.end_soon(why, message)
        assert self._ending is not None
        await asyncio.shield(self._ending)

    def end_soon(self, why: Why, message: str) -> None:
        """Begin to kill the box; the first reason stays."""
        if self._ending is None:
            self._gone = BoxGone(why, f"The sandbox was ended: {message}. Its state is lost.")
            self._ending = asyncio.create_task(self._end())

    async def _end(self) -> None:
        started = self._started
        # Without a limit: as long as something of it lives, its place must not be another's.
        try:
            await started.grip.kill()
            await started.process.wait()
            started.grip.close()
            started.channel.close()
            await asyncio.to_thread(started.launch.clean)
        finally:
            self.on_gone()

    async def _die(self, why: Why, message: str) -> NoReturn:
        await self.end(why, message)
        assert self._gone is not None
        raise self._gone from None

    async def _lost(self) -> NoReturn:
        """It closed its end, which it does when it is killed, or when its process ends."""
        await self._die("exited", "its process ended")

    def _settle(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._settling.add(task)
        task.add_done_callback(self._settling.discard)


class _Request:
    """One turn's."""

    rest: Callable[[], Awaitable[object]] | None = None
    """What is to be done before the next turn, where this one is given up now."""


class _RunningCell:
    """A cell's outputs so far, and its time."""

    def __init__(self, box: LiveBox, limits: CellLimits) -> None:
        self._box = box
        self._limits = limits
        self._loop = asyncio.get_running_loop()
        self._begun = self._loop.time()
        self._timer: asyncio.TimerHandle | None = None
        self.outputs = CellOutputs(limits)
        self.stopped: Stopped | None = None
        self.is_over = False
        self.has_text = False

    def start_clock(self) -> None:
        """Let its time run, in which whoever reads the outputs is included."""
        self._begun = self._loop.time()
        if self.stopped is None:
            self._timer = self._loop.call_later(self._limits.wall_s, self.interrupt, "timeout")

    def stop_clock(self) -> None:
        """No more is its time watched."""
        if self._timer is not None:
            self._timer.cancel()

    def wall_s(self) -> float:
        """Seconds since it began."""
        return self._loop.time() - self._begun

    def interrupt(self, why: Stopped) -> None:
        """Stop it, and kill its box where it does not stop."""
        if self.stopped is not None or self.is_over:
            return
        self.stopped = why
        self.stop_clock()
        grace_s = self._box._settings.grace_s
        self._timer = self._loop.call_later(grace_s, self._box.overrun, grace_s)
        self._box.send_interrupt()
