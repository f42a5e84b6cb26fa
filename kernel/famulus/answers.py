"""What an operation may return besides a struct."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Generic, TypeVar

T = TypeVar("T")


class Wire(Generic[T]):
    """A `T` that is JSON already: stored bodies are sent as they are, with no decode."""

    __slots__ = ("data",)

    def __init__(self, data: bytes) -> None:
        self.data = data


class EventStream(Generic[T]):
    """Server-sent events of the union `T`.

    `frames` yields whole encoded events, one or several an item; each item is one send. The
    kernel adds heartbeats while it is silent, and closes `frames` once the client has left.
    """

    __slots__ = ("frames",)

    def __init__(self, frames: AsyncIterator[bytes]) -> None:
        self.frames = frames


class Bytes:
    """Any body: a file, a page, or another server's answer passed on.

    `length` is said before a body that is streamed, where it is known.
    """

    __slots__ = ("content", "content_type", "length", "status")

    def __init__(
        self,
        content: bytes | AsyncIterator[bytes],
        content_type: str,
        *,
        status: int = 200,
        length: int | None = None,
    ) -> None:
        self.content = content
        self.content_type = content_type
        self.status = status
        self.length = length
