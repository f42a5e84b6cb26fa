"""Server-sent events: structs and bytes to frames."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from starlette.types import Receive, Send

DONE = b"[DONE]"
HEARTBEAT = b": keep-alive\n\n"
PIECE_BYTES = 65_536
"""What is sent at once: what was sent is held for its reader, besides the item that it is of."""

_END = {"type": "http.response.body", "body": b"", "more_body": False}


def encode_event(data: bytes, *, name: str | None = None, position: str | None = None) -> bytes:
    """One frame. `data` is JSON (which holds no line break) or the literal `[DONE]`."""
    if name is None and position is None:
        return b"data: " + data + b"\n\n"
    head = f"id: {position}\n" if position else ""
    if name is not None:
        head += f"event: {name}\n"
    return head.encode() + b"data: " + data + b"\n\n"


class _Progress:
    """How far the sender is: heartbeats go out between sends, never into one."""

    __slots__ = ("is_ended", "sending", "since", "watcher")

    def __init__(self, now: float, watcher: asyncio.Task[None]) -> None:
        self.sending = False
        self.since = now
        self.watcher = watcher
        self.is_ended = False

    def end(self) -> None:
        """Have the stream end after what is being sent."""
        self.is_ended = True
        self.watcher.cancel()


class OpenStreams:
    """The streams that are open, to be ended together where the server stops."""

    def __init__(self) -> None:
        self._open: set[_Progress] = set()

    def __len__(self) -> int:
        return len(self._open)

    def end(self) -> None:
        """End each after a whole event, as a stream ends that can be picked up again."""
        for progress in tuple(self._open):
            progress.end()

    def add(self, progress: _Progress) -> None:
        """One more."""
        self._open.add(progress)

    def remove(self, progress: _Progress) -> None:
        """One less."""
        self._open.discard(progress)


async def serve_frames(
    frames: AsyncIterator[bytes],
    receive: Receive,
    send: Send,
    *,
    heartbeat_s: float | None,
    send_s: float,
    among: OpenStreams | None = None,
) -> None:
    """Send every item until `frames` ends or the client leaves, a large one in pieces.

    While nothing is sent, a comment goes out every `heartbeat_s`. A reader that takes longer
    than `send_s` for one piece is dropped. `frames` is closed in every case. `among` are those that
    may be ended before, after a whole item.
    """
    loop = asyncio.get_running_loop()
    # uvicorn's send() does nothing once the client has left, so only this can tell.
    watcher = loop.create_task(until_left(receive))
    progress = _Progress(loop.time(), watcher)
    sender = loop.create_task(_send_all(frames, send, progress))
    if among is not None:
        among.add(progress)
    pause = min(heartbeat_s or send_s, send_s)
    try:
        while not sender.done() and not watcher.done():
            await asyncio.wait(
                (sender, watcher), timeout=pause, return_when=asyncio.FIRST_COMPLETED
            )
            idle = loop.time() - progress.since
            if progress.sending and idle > send_s:
                break
            if heartbeat_s and not progress.sending and idle >= heartbeat_s and not sender.done():
                progress.since = loop.time()
                if not await _beaten(send, send_s):
                    break
        if progress.is_ended:
            await _end_early(sender, send, progress, send_s)
        elif sender.done():
            sender.result()
    finally:
        if among is not None:
            among.remove(progress)
        for task in (sender, watcher):
            task.cancel()
        await asyncio.gather(sender, watcher, return_exceptions=True)
        await close_frames(frames)


async def _end_early(
    sender: asyncio.Task[None], send: Send, progress: _Progress, send_s: float
) -> None:
    """Let what is being sent be whole, and end the answer there, as every answer ends."""
    if not progress.sending:
        sender.cancel()
    await asyncio.wait((sender,), timeout=send_s)
    if sender.cancelled():
        await send(_END)
    elif sender.done():
        sender.result()


async def close_frames(frames: AsyncIterator[bytes]) -> None:
    """Let go of what the frames come from, where it can be closed."""
    close = getattr(frames, "aclose", None)
    if close is not None:
        await close()


async def _beaten(send: Send, send_s: float) -> bool:
    """Send a heartbeat; whether the reader took it in time."""
    try:
        async with asyncio.timeout(send_s):
            await send({"type": "http.response.body", "body": HEARTBEAT, "more_body": True})
    except TimeoutError:
        return False
    return True


async def _send_all(frames: AsyncIterator[bytes], send: Send, progress: _Progress) -> None:
    clock = asyncio.get_running_loop().time
    async for data in frames:
        progress.sending = True
        for at in range(0, len(data) or 1, PIECE_BYTES):
            piece = data if len(data) <= PIECE_BYTES else data[at : at + PIECE_BYTES]
            progress.since = clock()
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        progress.sending, progress.since = False, clock()
        if progress.is_ended:
            break
    await send(_END)


async def until_left(receive: Receive) -> None:
    """Return once the client has gone; bodies must have been read before."""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
