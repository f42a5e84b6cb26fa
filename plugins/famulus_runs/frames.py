"""A run's events as the frames of an answer."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager

from famulus import encode_event
from famulus_schemas.ports import Emission, Listener, ListenerDropped


class ListenerFrames:
    """What one listener hears, everything that waited as one item.

    Listening starts with `open`, before the run does, so that nothing is missed. Closing it
    ends the listening even where nobody began to read.
    """

    def __init__(self, subscription: AbstractAsyncContextManager[Listener]) -> None:
        self._subscription = subscription
        self._batches: AsyncIterator[Sequence[Emission]] | None = None
        self._first: Sequence[Emission] = ()

    async def open(self, first: Sequence[Emission] = ()) -> ListenerFrames:
        """Begin to listen; `first` is sent before anything that is heard."""
        self._batches = aiter(await self._subscription.__aenter__())
        self._first = first
        return self

    def __aiter__(self) -> ListenerFrames:
        return self

    async def __anext__(self) -> bytes:
        if self._batches is None:
            raise StopAsyncIteration
        if self._first:
            first, self._first = self._first, ()
            return frames_of(first)
        try:
            return frames_of(await anext(self._batches))
        except (StopAsyncIteration, ListenerDropped):
            # A reader that was too slow can read on from where it was; the run is not hurt.
            await self.aclose()
            raise StopAsyncIteration from None

    async def aclose(self) -> None:
        """Stop listening."""
        if self._batches is not None:
            self._batches = None
            await self._subscription.__aexit__(None, None, None)


def frames_of(emissions: Sequence[Emission]) -> bytes:
    """Encoded frames, one after the other."""
    return b"".join(
        [encode_event(one.data, name=one.name, position=one.position) for one in emissions]
    )
