"""Where the log goes, a line at a time; what comes with every request is written many at once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TextIO

import msgspec

SOON_S = 0.1
"""How long a line may wait for others."""
WAITING_MAX = 1_000
"""How many may wait; then all are written, and nothing is lost."""


class RequestLine(msgspec.Struct, kw_only=True):
    """A request, as the log tells it."""

    timestamp: str
    request_id: str
    operation: str
    method: str
    status: int
    ms: float
    project: str | None
    principal: str | None
    level: str = "info"
    event: str = "request_served"


class Stamps:
    """The time as the log tells it. The text of a second is made once: it is most of the work."""

    __slots__ = ("_clock", "_second", "_text")

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._second = -1
        self._text = ""

    def __call__(self) -> str:
        now = self._clock()
        second = int(now)
        if second != self._second:
            self._second = second
            self._text = time.strftime("%Y-%m-%dT%H:%M:%S.", time.gmtime(second))
        return f"{self._text}{int((now - second) * 1e6):06d}Z"


class Lines:
    """Writes lines to a stream, in the order in which they came.

    A write by itself costs several times what making a line does; so those of requests wait a
    little for each other, and are made all at once. Any other line is written at once, and all that
    waited before it.
    """

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._waiting: list[RequestLine] = []
        self._timer: asyncio.TimerHandle | None = None

    def msg(self, line: str) -> None:
        """Write a line now."""
        self._write(f"{line}\n")

    # structlog calls the method that is named after the level.
    debug = info = warning = error = critical = exception = fatal = log = msg

    def soon(self, line: RequestLine) -> None:
        """Write a line before long. Without an event loop that is now."""
        waiting = self._waiting
        waiting.append(line)
        if self._timer is None or len(waiting) >= WAITING_MAX:
            self._arrange()

    def flush(self) -> None:
        """Write what waits."""
        self._write("")

    def _arrange(self) -> None:
        if len(self._waiting) >= WAITING_MAX:
            self.flush()
            return
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            self.flush()
        else:
            self._timer = loop.call_later(SOON_S, self.flush)

    def _write(self, after: str) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        waiting, self._waiting = self._waiting, []
        if text := (_encode_lines(waiting).decode() if waiting else "") + after:
            self._out.write(text)
        self._out.flush()


_encode_lines = msgspec.json.Encoder().encode_lines
