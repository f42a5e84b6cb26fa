"""The descriptors of a box, read as they are asked for: a reader who waits holds up the box."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from typing import Any, Literal

from famulus_boxes.frames import FrameReader, Reply, packed

READ_BYTES = 65_536

Stream = Literal["stdout", "stderr"]
STREAMS: tuple[Stream, ...] = ("stdout", "stderr")


class ChannelClosed(Exception):
    """The box has closed its end, as it does when it ends."""


class Channel:
    """Requests to a box, its replies, and what it writes on stdout and stderr."""

    def __init__(self, *, requests: int, replies: int, stdout: int, stderr: int) -> None:
        self._requests, self._replies = requests, replies
        self._streams: dict[Stream, int] = {"stdout": stdout, "stderr": stderr}
        self._open = {requests, replies, stdout, stderr}
        self._frames = FrameReader()
        self._unsent = bytearray()
        self._waiting: set[asyncio.Event] = set()
        for each in self._open:
            os.set_blocking(each, False)

    async def send(self, head: dict[str, Any], blob: bytes = b"") -> None:
        """Send a request. Raises ChannelClosed."""
        await self.send_raw(packed(head, blob))

    async def send_raw(self, data: bytes) -> None:
        """Send bytes, after what a sender who gave up has left. Raises ChannelClosed."""
        self._unsent += data
        while self._unsent:
            try:
                del self._unsent[: os.write(self._need(self._requests), self._unsent)]
            except BlockingIOError:
                await self._ready(writers=(self._requests,))
            except BrokenPipeError as error:
                raise ChannelClosed from error

    async def wait(self) -> None:
        """Wait until there may be something to take."""
        await self._ready(readers=[each for each in self._open if each != self._requests])

    async def wait_for_reply(self) -> None:
        """Wait until there may be a reply, whatever is written meanwhile."""
        await self._ready(readers=[self._need(self._replies)])

    def reply(self) -> tuple[Reply, bytes] | None:
        """The next reply, if it is there. Raises ForgedFrame, and ChannelClosed at the end."""
        while (found := self._frames.next()) is None:
            try:
                data = os.read(self._need(self._replies), READ_BYTES)
            except BlockingIOError:
                return None
            if not data:
                raise ChannelClosed
            self._frames.feed(data)
        return found

    def text(self, stream: Stream) -> bytes:
        """What was written on a stream since, or the beginning of it; empty where nothing was."""
        descriptor = self._streams[stream]
        if descriptor not in self._open:
            return b""
        try:
            data = os.read(descriptor, READ_BYTES)
        except BlockingIOError:
            return b""
        if not data:
            # The code has closed it; it would be ready for ever.
            self._shut(descriptor)
        return data

    def close(self) -> None:
        """Close our ends; whoever waits for the box finds it closed."""
        for each in list(self._open):
            self._shut(each)
        for woken in self._waiting:
            woken.set()

    def _need(self, descriptor: int) -> int:
        if descriptor not in self._open:
            raise ChannelClosed
        return descriptor

    def _shut(self, descriptor: int) -> None:
        loop = asyncio.get_running_loop()
        loop.remove_reader(descriptor)
        loop.remove_writer(descriptor)
        self._open.discard(descriptor)
        os.close(descriptor)

    async def _ready(self, *, readers: Sequence[int] = (), writers: Sequence[int] = ()) -> None:
        loop = asyncio.get_running_loop()
        woken = asyncio.Event()
        self._waiting.add(woken)
        try:
            for each in readers:
                loop.add_reader(each, woken.set)
            for each in writers:
                loop.add_writer(each, woken.set)
            await woken.wait()
        finally:
            self._waiting.discard(woken)
            for each in self._open.intersection(readers):
                loop.remove_reader(each)
            for each in self._open.intersection(writers):
                loop.remove_writer(each)
