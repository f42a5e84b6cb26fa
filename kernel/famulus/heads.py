"""The head of an answer, made with one check where uvicorn makes two of every header, and written
together with a small body.

Nearly all headers of nearly all answers are always the same, and of the others the names are: what
was found good once is known. And each write is a system call, and a packet.
"""

from __future__ import annotations

from collections.abc import Awaitable, Generator
from typing import TYPE_CHECKING, Any

from uvicorn.protocols.http.httptools_impl import (
    HEADER_RE,
    HEADER_VALUE_RE,
    STATUS_LINE,
    RequestResponseCycle,
)

from famulus.safe_headers import CONSTANT, Header
from famulus.written_heads import WrittenHead

if TYPE_CHECKING:
    from uvicorn._types import ASGISendEvent

_LINES = {header: b"%s: %s\r\n" % header for header in CONSTANT}
_NAMES: dict[bytes, bytes] = {}
_NAMES_MAX = 1_000
_LEFT_TO_UVICORN = frozenset({b"connection", b"transfer-encoding"})
"""Of these the values mean something to a connection."""
_NO_BODY = frozenset({204, 304})
_TOGETHER_BYTES_MAX = 65_536
"""Of a longer body the head is sent before: it may take its time, and to join them costs more."""


class _Done:
    """To be awaited, and over at once."""

    def __await__(self) -> Generator[Any, None, None]:
        return
        yield


_DONE = _Done()


class Cycle(RequestResponseCycle):
    """uvicorn's request and answer, its head made by `head_of`."""

    _head: bytes | None = None
    """What is to be written with the body, which is said to be short."""

    def send(self, message: ASGISendEvent) -> Awaitable[None]:  # type: ignore[override]
        """As ASGI's; what need not be waited for is done when it is called."""
        if not self.disconnected and not self.flow.write_paused:
            if not self.response_started:
                if message["type"] == "http.response.start" and self._begin(message):
                    return _DONE
            elif message["type"] == "http.response.body" and self._end(message):
                return _DONE
        if self._head is not None:
            self.transport.write(self._taken_head())
        return super().send(message)

    def _taken_head(self) -> bytes:
        head, self._head = self._head or b"", None
        return head

    def _begin(self, message: Any) -> bool:
        """Write the head, where it is an ordinary one."""
        made: tuple[list[bytes], int | None] | None = None
        headers = message.get("headers", ())
        if not isinstance(headers, WrittenHead):
            made = head_of(message["status"], [*self.default_headers, *headers])
        elif before := _lines_before(message["status"], self.default_headers):
            made = [before, headers.lines], headers.length
        if made is None or self.access_log or self.chunked_encoding is not None:
            return False
        lines, length = made
        self.response_started = True
        self.waiting_for_100_continue = False
        if not self.keep_alive:
            lines.append(b"connection: close\r\n")
        if length is not None:
            self.expected_content_length = length
            self.chunked_encoding = False
        elif self.scope["method"] != "HEAD" and message["status"] not in _NO_BODY:
            self.chunked_encoding = True
            lines.append(b"transfer-encoding: chunked\r\n")
        lines.append(b"\r\n")
        head = b"".join(lines)
        if length is not None and length <= _TOGETHER_BYTES_MAX:
            self._head = head
        else:
            self.transport.write(head)
        return True

    def _end(self, message: Any) -> bool:
        """Write a whole body of the length that was said."""
        body = message.get("body", b"")
        if (
            message.get("more_body", False)
            or self.response_complete
            or self.chunked_encoding is not False
            or len(body) != self.expected_content_length
            or self.scope["method"] == "HEAD"
        ):
            return False
        self.expected_content_length = 0
        self.transport.write(self._taken_head() + body)
        self.response_complete = True
        self.message_event.set()
        if not self.keep_alive:
            self.transport.close()
        self.on_response()
        return True


def head_of(
    status: int, headers: list[tuple[bytes, bytes]]
) -> tuple[list[bytes], int | None] | None:
    """The lines of a head but its last, and the length that it says; None where uvicorn is to
    make it: with what means something to the connection, or is no header at all.
    """
    lines, values = [STATUS_LINE[status]], []
    length = None
    try:
        for header in headers:
            line = _LINES.get(header)
            if line is not None:
                lines.append(line)
                continue
            name, value = header
            known = _NAMES.get(name) or _learnt(name)
            if known is None:
                return None
            if known == b"content-length: ":
                length = int(value)
            values.append(value)
            lines += (known, value, b"\r\n")
    except (TypeError, ValueError):
        return None
    # Nothing of a value may end its line: one look at all of them.
    if HEADER_VALUE_RE.search(b"".join(values)):
        return None
    return lines, length


_before: tuple[int, list[Header], bytes | None] = (0, [], None)


def _lines_before(status: int, defaults: list[Header]) -> bytes | None:
    """The lines of what uvicorn makes once a second for all answers; None as `head_of`."""
    global _before
    if _before[0] != status or _before[1] is not defaults:
        made = head_of(status, defaults)
        _before = status, defaults, None if made is None else b"".join(made[0])
    return _before[2]


def _learnt(name: bytes) -> bytes | None:
    """How a line of that name begins."""
    if HEADER_RE.search(name) or name.lower() in _LEFT_TO_UVICORN:
        return None
    begin = name.lower() + b": "
    if len(_NAMES) < _NAMES_MAX:
        _NAMES[name] = begin
    return begin
