"""Bytes as they come from a server to whole server-sent events, and to what they carry."""

from __future__ import annotations

from famulus_schemas.inference import BackendFault

DONE = b"[DONE]"


class Splitter:
    """Cuts pieces of a stream behind their last whole event and keeps the rest for the next."""

    def __init__(self, event_bytes_max: int, *, backend: str) -> None:
        self._event_bytes_max = event_bytes_max
        self._backend = backend
        self._rest = b""

    def feed(self, piece: bytes) -> bytes:
        """The events that are whole now, each ended by one blank line. Raises BackendFault."""
        if self._rest:
            piece = self._rest + piece
        if b"\r" in piece:
            # JSON escapes its own line breaks, so every raw one ends a line of the stream. A
            # lone carriage return at the end waits for its other half.
            piece = piece.replace(b"\r\n", b"\n")
        end = piece.rfind(b"\n\n") + 2
        if end < 2:
            self._rest = piece
            events = b""
        else:
            self._rest = piece[end:]
            events = piece[:end]
        if len(self._rest) > self._event_bytes_max:
            raise BackendFault(
                "broken",
                f"it sent an event over {self._event_bytes_max} bytes (event_bytes_max)",
                backend=self._backend,
            )
        return events

    def flush(self) -> bytes:
        """What is left when the stream has ended, as one event."""
        rest, self._rest = self._rest, b""
        return rest.rstrip() + b"\n\n" if rest.strip() else b""


def payloads(events: bytes) -> list[bytes]:
    """What each event carries; comments and events without data are left out."""
    found = []
    for event in events.split(b"\n\n"):
        if event.startswith(b"data: ") and b"\n" not in event:
            found.append(event[6:])
        elif event:
            data = _data(event)
            if data:
                found.append(data)
    return found


def _data(event: bytes) -> bytes:
    lines = [line[5:].removeprefix(b" ") for line in event.split(b"\n") if line[:5] == b"data:"]
    return b"\n".join(lines)
