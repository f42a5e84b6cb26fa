"""How many streams may be open: in all, and of one caller."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from famulus.server_settings import ServerSettings
from famulus_schemas.errors import TOO_MANY_STREAMS, Problem

RETRY_S = "5"
_TRUE = msgspec.Raw(b"true")


class StreamPlaces:
    """The places of one server, whatever world a stream began in."""

    def __init__(self, settings: ServerSettings) -> None:
        self._max = settings.streams_max
        self._per_key_max = settings.streams_per_key_max
        self._taken = 0
        self._by_caller: dict[str, int] = {}

    def __len__(self) -> int:
        return self._taken

    def take(self, caller: str) -> None:
        """Take a place, before anything is done that a refusal would leave behind.

        Raises Problem (429) where there is none.
        """
        mine = self._by_caller.get(caller, 0)
        if mine >= self._per_key_max:
            raise _full("Your API key", self._per_key_max)
        if self._taken >= self._max:
            raise _full("This server", self._max)
        self._by_caller[caller] = mine + 1
        self._taken += 1

    def give_back(self, caller: str) -> None:
        """Leave a place that was taken."""
        self._taken -= 1
        left = self._by_caller[caller] - 1
        if left:
            self._by_caller[caller] = left
        else:
            del self._by_caller[caller]


def _full(whom: str, limit: int) -> Problem:
    return Problem(TOO_MANY_STREAMS, headers={"retry-after": RETRY_S}, whom=whom, limit=limit)


def wants_stream(body: Any) -> bool:
    """Whether a request of an operation that can stream asks for it: `stream`, in its body."""
    if isinstance(body, Mapping):
        return bool(body.get("stream") == _TRUE)
    return bool(getattr(body, "stream", False))
