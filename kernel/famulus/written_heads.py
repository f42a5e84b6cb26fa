"""Headers that are lines already: what is written to the connection need not be taken apart first.

Nearly every answer says the same few things, and each header that is made by itself, looked at by
itself and written by itself costs as much as finding out who asks.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import overload

from famulus.safe_headers import Header


def headers_in(lines: bytes) -> list[Header]:
    """The headers that lines are, each with its end."""
    parts = (line.partition(b": ") for line in lines.split(b"\r\n")[:-1])
    return [(name, value) for name, _, value in parts]


class WrittenHead(Sequence[Header]):
    """The headers of an answer of `length` bytes, as ASGI has them, and as the lines they are.

    Who makes one answers for the lines: names in small letters, nothing that a connection would
    have to heed, and no value that could end its line.
    """

    __slots__ = ("length", "lines")

    def __init__(self, lines: bytes, length: int) -> None:
        self.lines = lines
        self.length = length

    def __len__(self) -> int:
        return self.lines.count(b"\r\n")

    @overload
    def __getitem__(self, index: int) -> Header: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[Header]: ...

    def __getitem__(self, index: int | slice) -> Header | Sequence[Header]:
        return headers_in(self.lines)[index]
