"""A connection that ends where its host sends much that is no content.

What a host sends is read on the event loop, where all others are served too. Of content only so
much is taken; but of what is never content, as answers before the answer, blank lines or marks of
chunks, a library for HTTP reads whatever comes, and the worst of it costs as much as a thousand
times of content.
"""

from __future__ import annotations

import asyncio

import aiohttp
from aiohttp.client_proto import ResponseHandler

SLICE_BYTES = 8_192
"""What is read before it is looked at how much of that was content."""


class HeldConnection(ResponseHandler):
    """Reads an answer as its base does, in slices, up to so much besides content."""

    def __init__(self, loop: asyncio.AbstractEventLoop, overhead_bytes_max: int) -> None:
        super().__init__(loop)
        self._overhead_bytes_max = overhead_bytes_max
        self._read_bytes = 0
        self._is_over = False

    def data_received(self, data: bytes) -> None:
        """Read it, or end the connection."""
        if len(data) <= SLICE_BYTES:
            self._read(data)
            return
        for at in range(0, len(data), SLICE_BYTES):
            self._read(data[at : at + SLICE_BYTES])

    def _read(self, data: bytes) -> None:
        if self._is_over:
            return
        self._read_bytes += len(data)
        # Where there is more content than was read, the rest of what came is kept aside, not
        # parsed; and parsed by an empty piece, once it is wanted.
        is_parsed = data and not self._reading_paused
        if is_parsed and self._read_bytes > self._bytes_max():
            self._end()
        else:
            super().data_received(data)

    def _bytes_max(self) -> int:
        content_bytes = self._payload.total_bytes if self._payload is not None else 0
        # In small chunks content takes more than its own size; so chunks may be of a dozen bytes.
        return self._overhead_bytes_max + 2 * content_bytes

    def _end(self) -> None:
        self._is_over = True
        reason = aiohttp.ClientPayloadError("more than is held besides content")
        self.set_exception(reason)
        if self._payload is not None:
            self._payload.set_exception(reason)
        if self.transport is not None:
            self.transport.abort()
