"""What an answer used, by what it says itself."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable

from famulus.sse import close_frames

_TOTAL = re.compile(rb'"total_tokens":\s*(\d{1,12})')
TAIL_BYTES = 4_096
"""Usage stands at the end of an answer."""


def used(answer: bytes) -> int | None:
    """The tokens that an answer says it used."""
    found = _TOTAL.findall(answer, max(0, len(answer) - TAIL_BYTES)) or _TOTAL.findall(answer)
    return int(found[-1]) if found else None


class Metered:
    """A stream on its way to the client, and what it used at its end, however it ends.

    A class and not a generator: one that was never begun would not tell. Where the stream says
    nothing of its usage, each of its events is a token.
    """

    def __init__(
        self, frames: AsyncIterator[bytes], settle: Callable[[int | None, int], Awaitable[None]]
    ) -> None:
        self._frames = frames
        self._settle = settle
        self._tail = b""
        self._events = 0
        self._is_settled = False

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        """The next frames, as they are."""
        frames = await anext(self._frames)
        self._events += frames.count(b"data: ")
        self._tail = (self._tail + frames)[-TAIL_BYTES:]
        return frames

    async def aclose(self) -> None:
        """Let go of the stream, and settle."""
        try:
            await close_frames(self._frames)
        finally:
            if not self._is_settled:
                self._is_settled = True
                await self._settle(used(self._tail), self._events)


class Ending:
    """A stream on its way to the client, and what is to be done once it ends, however it does."""

    def __init__(self, frames: AsyncIterator[bytes], then: Callable[[], Awaitable[None]]) -> None:
        self._frames = frames
        self._then: Callable[[], Awaitable[None]] | None = then

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        """The next frames, as they are."""
        return await anext(self._frames)

    async def aclose(self) -> None:
        """Let go of the stream first."""
        try:
            await close_frames(self._frames)
        finally:
            then, self._then = self._then, None
            if then is not None:
                await then()
