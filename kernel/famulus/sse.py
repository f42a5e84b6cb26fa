"""Server-sent events: structs and bytes to frames."""

from __future__ import annotations

DONE = b"[DONE]"
HEARTBEAT = b": keep-alive\n\n"


def encode_event(data: bytes, *, name: str | None = None, position: str | None = None) -> bytes:
    """One frame. `data` is JSON (which holds no line break) or the literal `[DONE]`."""
    if name is None and position is None:
        return b"data: " + data + b"\n\n"
    head = f"id: {position}\n" if position else ""
    if name is not None:
        head += f"event: {name}\n"
    return head.encode() + b"data: " + data + b"\n\n"
