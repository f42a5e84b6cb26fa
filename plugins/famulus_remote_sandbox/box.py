"""One box as the server has it: what is asked of its kernel, in turn, and how it ends."""

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
from typing import Any, NoReturn

from msgspec.structs import asdict

from famulus_boxes.paths import checked, is_path
from famulus_remote_sandbox.cell import CellOutputs, Flooded, Stopped
from famulus_remote_sandbox.channel import ChannelClosed
from famulus_remote_sandbox.messages import Answer, Forged
from famulus_remote_sandbox.settings import RemoteSandboxSettings
from famulus_remote_sandbox.starting import Started
from famulus_schemas.sandbox import (
    BoxFile,
    BoxFileMissing,
    BoxFileRefused,
    BoxGone,
    BoxLimits,
    CellLimits,
    Output,
    Why,
)


class RemoteBox:
    """A box. What it is, Protocol `Box` says."""

    def __init__(
        self,
        id: str,
        key: tuple[str, str],
        started: Started,
        settings: RemoteSandboxSettings,
        limits: BoxLimits,
        *,
        interrupt: Callable[[], Awaitable[None]],
        end: Callable[[], Awaitable[None]],
    ) -> None:
        self.id = id
        self.project, self.session = key
        self._started = started
        self._ask = started.asker.ask
        self._settings = settings
        self._limits = limits
        self._interrupt_kernel = interrupt
        self._end_kernel = end
        self._loop = asyncio.get_running_loop()
        self._turn = asyncio.Lock()
        self._gone: BoxGone | None = None
        self._ending: asyncio.Task[None] | None = None
        self._settling: set[asyncio.Task[None]] = set()
        self._cell: _RunningCell | None = None
        self.cells = 0
        self.used_at = self._loop.time()
        started.channel.on_closed = self._hung_up

    @property
    def is_alive(self) -> bool:
        """Whether it can still be asked something."""
        return self._gone is None

    @property
    def is_busy(self) -> bool:
        """Whether it is doing something."""
        return self._turn.locked()

    # -- cells -----------------------------------------------------------------------------

    async def run(
        self, code: str, *, limits: CellLimits | None = None
    ) -> AsyncGenerator[Output, None]:
        """Run a cell; see `Box`."""
        limits = limits or self._settings.cell_limits()
        await self._take_turn()
        cell = _RunningCell(self, limits)
        try:
            async with self._faults(limits):
                self.cells += 1
                self._cell = cell
                # A kernel that is not the one it was does not know what this asks.
                await self._done("begin", limits=asdict(limits))
                cell.is_sent = True
                await self._started.asker.run(code)
                cell.has_begun = True
                cell.start_clock()
                async for output in self._outputs(cell):
                    yield output
        finally:
            if cell.is_over or not cell.is_sent or not self.is_alive:
                self._over(cell)
            elif not cell.has_begun:
                # Whether it took the code is not known, and nothing else can be asked of it.
                self.end_soon("closed", "its last cell was given up")
                self._over(cell)
            else:
                # Whoever asked has left: the turn is over once the code has stopped.
                cell.interrupt("interrupted")
                self._settle(self._run_out(cell))

    async def _outputs(self, cell: _RunningCell) -> AsyncIterator[Output]:
        outputs = cell.outputs
        while not outputs.is_over:
            message = await self._started.asker.hear()
            shown = outputs.take(message, cell.stopped) if message is not None else None
            if shown is not None:
                yield shown
        cell.stop_clock()
        cell.is_done = True
        answer = await self._ended(cell)
        cell.is_over = True
        for output in outputs.ends(answer, stopped=cell.stopped, wall_s=cell.wall_s()):
            yield output

    async def _ended(self, cell: _RunningCell) -> Answer:
        if cell.interrupting is not None:
            await cell.interrupting
            # An interrupt that came late may hit the next request, and none after it.
            with contextlib.suppress(Forged):
                return await self._done("end")
        return await self._done("end")

    async def _run_out(self, cell: _RunningCell) -> None:
        try:
            with contextlib.suppress(BoxGone):
                async with self._faults(cell.limits):
                    async for _ in self._outputs(cell):
                        pass
        finally:
            self._over(cell)

    def _over(self, cell: _RunningCell) -> None:
        cell.stop_clock()
        self._cell = None
        self._release()

    async def interrupt(self) -> bool:
        """Stop the running cell; see `Box`."""
        if self._cell is None or self._cell.is_done:
            return False
        self._cell.interrupt("interrupted")
        return True

    def overrun(self, seconds: float) -> None:
        """End a box whose code did not stop when it was told to."""
        self.end_soon("timeout", f"its code did not stop within {seconds:g} s")

    async def send_interrupt(self) -> None:
        """Have the gateway stop the code."""
        if self.is_alive:
            await self._interrupt_kernel()

    # -- files -----------------------------------------------------------------------------

    async def put(self, path: str, chunks: AsyncIterable[bytes]) -> BoxFile:
        """Write a file; see `Box`."""
        path = checked(path)
        async with self._request():
            total, is_whole = 0, False
            await self._written("put", path, name=path)
            try:
                async for piece in _pieces(chunks, self._settings.piece_bytes):
                    total += len(piece)
                    if total > self._limits.files_bytes:
                        raise BoxFileRefused(f"{path!r} is larger than a box")
                    await self._written("data", path, piece)
                await self._written("close", path)
                is_whole = True
            finally:
                if not is_whole and self.is_alive:
                    await asyncio.shield(self._broken_off())
            return BoxFile(path=path, bytes=total)

    async def _written(self, kind: str, path: str, blob: bytes = b"", name: str = "") -> None:
        answer, _ = await self._ask(kind, blob, path=name)
        if answer.kind == "refused":
            raise BoxFileRefused(f"{path!r} cannot be written: {answer.text[:200]}")
        _expect(answer, "done")

    async def _broken_off(self) -> None:
        try:
            await self._done("abort")
        except (ChannelClosed, TimeoutError, Forged):
            self.end_soon("protocol", "a file was broken off and could not be removed")

    async def get(self, path: str, *, bytes_max: int | None = None) -> AsyncGenerator[bytes, None]:
        """Read a file; see `Box`."""
        path = checked(path)
        most = self._settings.file_bytes if bytes_max is None else bytes_max
        async with self._request():
            answer, _ = await self._ask("get", path=path)
            if answer.kind == "missing":
                raise BoxFileMissing(path)
            _expect(answer, "file")
            if answer.size > most:
                raise BoxFileRefused(
                    f"{path!r} has {answer.size:,} bytes; {most:,} may be taken out"
                )
            left = answer.size
            while left:
                wanted = min(left, self._settings.piece_bytes)
                answer, blob = await self._ask("more", most=wanted)
                _expect(answer, "data")
                if not 0 < len(blob) <= wanted:
                    raise Forged("it is not the file that was announced")
                left -= len(blob)
                yield blob
            await self._done("leave")

    async def list(self) -> Sequence[BoxFile]:
        """The files; see `Box`."""
        most = self._settings.files_told
        async with self._request():
            answer = await self._done("list", most=most)
            if len(answer.files) > most:
                raise Forged("it tells of too many files")
            return [BoxFile(path=path, bytes=n) for path, n in answer.files if is_path(path)]

    async def delete(self, path: str) -> None:
        """Remove a file; see `Box`."""
        path = checked(path)
        async with self._request():
            answer, _ = await self._ask("delete", path=path)
            if answer.kind == "missing":
                raise BoxFileMissing(path)
            _expect(answer, "done")

    # -- asking ----------------------------------------------------------------------------

    async def _done(self, kind: str, **fields: object) -> Answer:
        answer, _ = await self._ask(kind, b"", **fields)
        _expect(answer, "done")
        return answer

    @contextlib.asynccontextmanager
    async def _request(self) -> AsyncIterator[None]:
        """One turn, in which every fault of the box is the end of it."""
        await self._take_turn()
        try:
            async with self._faults(None):
                yield
        finally:
            self._release()

    @contextlib.asynccontextmanager
    async def _faults(self, limits: CellLimits | None) -> AsyncIterator[None]:
        try:
            yield
        except ChannelClosed as closed:
            await self._die(closed.why, closed.message)
        except TimeoutError:
            await self._die("timeout", "it did not answer")
        except Flooded:
            most = limits.flood_bytes if limits is not None else 0
            await self._die("output", f"it wrote more than {most:,} bytes")
        except Forged as error:
            await self._die("protocol", f"its answer is forged: {error}")

    async def _take_turn(self) -> None:
        await self._turn.acquire()
        if self._gone is not None:
            self._turn.release()
            raise self._gone

    def _release(self) -> None:
        self._started.channel.is_listening = False
        self._started.channel.forget()
        self.used_at = self._loop.time()
        self._turn.release()

    # -- the end ---------------------------------------------------------------------------

    async def close(self) -> None:
        """End the kernel; see `Box`."""
        await self.end("closed", "it was closed")

    async def end(self, why: Why, message: str) -> None:
        """End the kernel for a reason, and wait until the gateway says that it is at its end."""
        self.end_soon(why, message)
        assert self._ending is not None
        await asyncio.shield(self._ending)

    def end_soon(self, why: Why, message: str) -> None:
        """Begin to end it; the first reason stays."""
        if self._ending is None:
            self._gone = BoxGone(why, f"The sandbox was ended: {message}. Its state is lost.")
            self._ending = asyncio.create_task(self._end())

    async def _end(self) -> None:
        await self._started.channel.close()
        await self._end_kernel()

    def _hung_up(self) -> None:
        # Whoever is using it finds out once all that came before is read.
        if not self.is_busy:
            self.end_soon("exited", "its kernel ended, or the connection to it")

    async def _die(self, why: Why, message: str) -> NoReturn:
        await self.end(why, message)
        assert self._gone is not None
        raise self._gone from None

    def _settle(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._settling.add(task)
        task.add_done_callback(self._settling.discard)


async def _pieces(chunks: AsyncIterable[bytes], size: int) -> AsyncIterator[bytes]:
    """The same bytes in pieces of one size, since each costs a way there and back."""
    held = bytearray()
    async for chunk in chunks:
        for at in range(0, len(chunk), size):
            held += chunk[at : at + size]
            while len(held) >= size:
                yield bytes(held[:size])
                del held[:size]
    if held:
        yield bytes(held)


def _expect(answer: Answer, kind: str) -> None:
    if answer.kind != kind:
        raise Forged(f"{answer.kind[:20]!r} is no answer to this")


class _RunningCell:
    """A cell's outputs so far, and its time."""

    def __init__(self, box: RemoteBox, limits: CellLimits) -> None:
        self._box = box
        self.limits = limits
        self._loop = asyncio.get_running_loop()
        self._begun = self._loop.time()
        self._timer: asyncio.TimerHandle | None = None
        self.interrupting: asyncio.Task[None] | None = None
        self.outputs = CellOutputs(limits)
        self.stopped: Stopped | None = None
        self.is_sent = self.has_begun = self.is_done = self.is_over = False

    def start_clock(self) -> None:
        """Let its time run, in which whoever reads the outputs is included."""
        self._begun = self._loop.time()
        if self.stopped is None:
            self._timer = self._loop.call_later(self.limits.wall_s, self.interrupt, "timeout")
        else:
            self._send()

    def stop_clock(self) -> None:
        """No more is its time watched."""
        if self._timer is not None:
            self._timer.cancel()

    def wall_s(self) -> float:
        """Seconds since it began."""
        return self._loop.time() - self._begun

    def interrupt(self, why: Stopped) -> None:
        """Stop it, and end its box where it does not stop."""
        if self.stopped is not None or self.is_done:
            return
        self.stopped = why
        self.stop_clock()
        if self.has_begun:
            self._send()

    def _send(self) -> None:
        grace_s = self._box._settings.grace_s
        self._timer = self._loop.call_later(grace_s, self._box.overrun, grace_s)
        self.interrupting = asyncio.create_task(self._box.send_interrupt())
