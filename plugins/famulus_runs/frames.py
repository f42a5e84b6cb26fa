"""A run's events as the frames of an answer."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence

from famulus import encode_event
from famulus_runs.listening import Listening
from famulus_schemas.ports import Emission


class RunFrames:
    """Frames, and the listening that they come from: closing one closes the other.

    It is closed even where nobody began to read.
    """

    def __init__(self, source: AsyncGenerator[bytes, None], listening: Listening) -> None:
        self._source = source
        self._listening = listening

    def __aiter__(self) -> RunFrames:
        return self

    async def __anext__(self) -> bytes:
        return await anext(self._source)

    async def aclose(self) -> None:
        """Stop listening."""
        await self._source.aclose()
        await self._listening.close()


def frames_of(emissions: Sequence[Emission]) -> bytes:
    """Encoded frames, one after the other."""
    return b"".join(
        [encode_event(one.data, name=one.name, position=one.position) for one in emissions]
    )
