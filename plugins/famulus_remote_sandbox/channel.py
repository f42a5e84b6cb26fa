"""The websocket to one kernel: messages in, in the order that they come, and bounded in memory."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from famulus_remote_sandbox.messages import Forged, Message, Status, decoded
from famulus_schemas.sandbox import Why

if TYPE_CHECKING:
    import aiohttp

_OVER = ("dead", "restarting", "autorestarting", "terminating")
_TOO_BIG = 1009
_HANG_UP_S = 1.0


class ChannelClosed(Exception):
    """Nothing more is to come of the kernel; says why."""

    def __init__(self, why: Why, message: str) -> None:
        self.why: Why = why
        self.message = message
        super().__init__(message)


class Channel:
    """What is said to a kernel, and by it."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse, *, held_bytes_max: int) -> None:
        self._socket = socket
        self._held_bytes_max = held_bytes_max
        self._held: deque[tuple[int, Message]] = deque()
        self._held_bytes = 0
        self._changed = asyncio.Event()
        self._closed: ChannelClosed | None = None
        self._reader = asyncio.create_task(self._read())
        self.is_listening = False
        """Whether anything is waited for; what is said else is passed over."""
        self.is_settled = False
        """Whether the kernel has begun, so that one that begins is another."""
        self.on_closed: Callable[[], None] = lambda: None

    @property
    def is_closed(self) -> bool:
        """Whether nothing more is to come."""
        return self._closed is not None

    async def send(self, text: str) -> None:
        """Say something. Raises ChannelClosed."""
        if self._closed is not None:
            raise self._closed
        try:
            await self._socket.send_str(text)
        except (OSError, RuntimeError) as error:
            raise ChannelClosed("exited", "the connection to its kernel broke") from error

    async def receive(self) -> tuple[int, Message]:
        """The next message and its size in bytes. Raises ChannelClosed once all are read."""
        while not self._held:
            if self._closed is not None:
                raise self._closed
            self._changed.clear()
            await self._changed.wait()
        size, message = self._held.popleft()
        self._held_bytes -= size
        self._changed.set()
        return size, message

    def forget(self) -> None:
        """Pass over what came and was not read."""
        self._held.clear()
        self._held_bytes = 0
        self._changed.set()

    async def close(self) -> None:
        """Hang up."""
        self._close(ChannelClosed("closed", "it was closed"))
        self._reader.cancel()
        await asyncio.gather(self._reader, return_exceptions=True)
        # A gateway that talks on instead of hanging up in turn is not listened to.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_HANG_UP_S):
                await self._socket.close()

    def _close(self, reason: ChannelClosed) -> None:
        if self._closed is None:
            self._closed = reason
            self._changed.set()
            self.on_closed()

    async def _read(self) -> None:
        import aiohttp

        try:
            while self._closed is None:
                received = await self._socket.receive()
                if received.type is aiohttp.WSMsgType.TEXT:
                    self._take(received.data)
                    while self._held_bytes > self._held_bytes_max:
                        self._changed.clear()
                        await self._changed.wait()
                elif received.type is aiohttp.WSMsgType.ERROR:
                    self._close(_broken(received.data))
                elif received.type is not aiohttp.WSMsgType.BINARY:
                    self._close(ChannelClosed("exited", "the connection to its kernel was ended"))
        except Forged as error:
            self._close(ChannelClosed("protocol", f"its answer is forged: {error}"))

    def _take(self, text: str) -> None:
        message = decoded(text.encode(errors="replace"), Message)
        if message.kind == "status":
            state = message.read(Status).execution_state
            if state in _OVER or (self.is_settled and state == "starting"):
                self._close(ChannelClosed("exited", "its process ended"))
                return
        if self.is_listening:
            self._held.append((len(text), message))
            self._held_bytes += len(text)
            self._changed.set()


def _broken(error: BaseException | None) -> ChannelClosed:
    if getattr(error, "code", None) == _TOO_BIG:
        return ChannelClosed("output", "it said too much at once")
    return ChannelClosed("exited", "the connection to its kernel broke")
