"""Where the log goes, a line at a time; what comes with every request is written many at once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TextIO

import msgspec

if TYPE_CHECKING:
    from famulus_schemas.notices import RequestServed

SOON_S = 0.1
"""How long a line may wait for others."""
WAITING_MAX = 1_000
"""How many may wait; then all are written, and nothing is lost."""


class RequestLine(msgspec.Struct, kw_only=True, gc=False):
    """A request, as the log tells it."""

    timestamp: datetime
    request_id: str
    operation: str
    method: str
    status: int
    ms: float
    project: str | None
    principal: str | None
    level: str = "info"
    event: str = "request_served"


def line_of(served: RequestServed) -> RequestLine:
    """The line of a request."""
    return RequestLine(
        timestamp=datetime.fromtimestamp(served.ended_at, UTC),
        request_id=served.request_id,
        operation=served.operation,
        method=served.method,
        status=served.status,
        # As round() to one place, at a tenth of its time.
        ms=int(served.seconds * 10_000 + 0.5) / 10,
        project=served.project,
        principal=served.principal,
    )


class Lines:
    """Writes lines to a stream, in the order in which they came.

    A write by itself costs several times what making a line does; so those of requests wait a
    little for each other, and are made all at once. Any other line is written at once, and all that
    waited before it.
    """

    def __init__(self, out: TextIO, hide: Callable[[str], str] = str) -> None:
        self._out = out
        self._hide = hide
        """What is done to ids that clients have chosen, and may look like a key."""
        self._waiting: list[RequestServed] = []
        self._timer: asyncio.TimerHandle | None = None

    def msg(self, line: str) -> None:
        """Write a line now."""
        self._write(f"{line}\n")

    # structlog calls the method that is named after the level.
    debug = info = warning = error = critical = exception = fatal = log = msg

    def soon(self, served: RequestServed, *, has_own_id: bool = False) -> None:
        """Write a request's line before long. Without an event loop that is now."""
        if not has_own_id:
            hidden = self._hide(served.request_id)
            served = msgspec.structs.replace(served, request_id=hidden)
        waiting = self._waiting
        waiting.append(served)
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
        # Made one after the other, too: by itself each would take several times as long.
        told = _encode_lines([line_of(each) for each in waiting]).decode() if waiting else ""
        if text := told + after:
            self._out.write(text)
        self._out.flush()


_encode_lines = msgspec.json.Encoder().encode_lines
