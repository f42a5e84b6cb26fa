"""A body that is read as it arrives: in constant memory, under limits on its size and its pace."""

from __future__ import annotations

import asyncio

from starlette.types import Message, Receive

from famulus.server_settings import ServerSettings
from famulus_schemas.errors import BODY_STALLED, BODY_TOO_LARGE, Problem


class ClientLeft(Exception):
    """The client went away before its request was whole."""


class Incoming:
    """The chunks of one body.

    Only time in which the client is waited for counts against it: what is done with a chunk
    meanwhile is the server's own affair.
    """

    def __init__(self, receive: Receive, *, bytes_max: int, settings: ServerSettings) -> None:
        self._receive = receive
        self._bytes_max = bytes_max
        self._idle_s = settings.stream_idle_s
        self._grace_s = settings.body_s
        self._bytes_per_s_min = settings.stream_bytes_per_s_min
        self._waited_s = 0.0
        self.bytes = 0
        self.is_over = False

    async def next(self) -> bytes:
        """The next chunk, and an empty one at the end. Raises Problem, or ClientLeft."""
        while not self.is_over:
            message = await self._in_time()
            if message["type"] == "http.disconnect":
                raise ClientLeft
            self.is_over = not message.get("more_body")
            chunk: bytes = message.get("body", b"")
            self.bytes += len(chunk)
            if self.bytes > self._bytes_max:
                raise Problem(BODY_TOO_LARGE, limit=self._bytes_max)
            if chunk:
                return chunk
        return b""

    async def _in_time(self) -> Message:
        clock = asyncio.get_running_loop().time
        started = clock()
        left_s = self._grace_s + self.bytes / self._bytes_per_s_min - self._waited_s
        try:
            async with asyncio.timeout(min(self._idle_s, max(left_s, 0))):
                message = await self._receive()
        except TimeoutError as error:
            if left_s > self._idle_s:
                reason = f"nothing came for {self._idle_s:g} seconds"
            else:
                reason = f"fewer than {self._bytes_per_s_min} bytes came each second"
            raise Problem(BODY_STALLED, reason=reason) from error
        self._waited_s += clock() - started
        return message
