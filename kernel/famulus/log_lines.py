"""Where the log goes, a line at a time; what comes with every request is written many at once."""

from __future__ import annotations

import asyncio
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


class Lines:
    """Writes lines to a stream, in the order in which they came.

    A write by itself costs several times what making a line does; so those of requests wait a
    little for each other. Any other line is written at once, and all that waited before it.
    """

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._waiting: list[str] = []
        self._timer: asyncio.TimerHandle | None = None

    def msg(self, line: str) -> None:
        """Write a line now."""
        self._waiting.append(line)
        self.flush()

    # structlog calls the method that is named after the level.
    debug = info = warning = error = critical = exception = fatal = log = msg

    def soon(self, line: str) -> None:
        """Write a line before long. Without an event loop that is now."""
        self._waiting.append(line)
        if len(self._waiting) >= WAITING_MAX:
            self.flush()
        elif self._timer is None:
            try:
                loop = asyncio.get_running_loop()
            except RuntimeError:
                self.flush()
            else:
                self._timer = loop.call_later(SOON_S, self.flush)

    def flush(self) -> None:
        """Write what waits."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._waiting:
            self._waiting.append("")
            text, self._waiting = "\n".join(self._waiting), []
            self._out.write(text)
        self._out.flush()
