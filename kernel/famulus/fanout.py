"""Topics and who listens to them in this process; what any provider of EVENTS is made of.

A topic nobody listens to takes no memory.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Annotated

import msgspec

from famulus.listener_queue import ListenerQueue
from famulus.plugin import Settings
from famulus.setting_fields import setting
from famulus_schemas.errors import TOO_BUSY, Problem
from famulus_schemas.ports import Emission, EventsStopped, Listener, ListenerDropped

RETRY_S = 1

Topic = tuple[str, str]
"""A project and the name of a topic within it."""


class FanoutSettings(Settings, frozen=True, kw_only=True):
    """The limits of a fan-out, to be part of the settings of whoever provides one."""

    listeners_max: Annotated[
        int,
        msgspec.Meta(ge=1),
        setting(why="Listeners at once, over all topics; further ones are refused as overload."),
    ] = 12_000
    waiting_events_max: Annotated[
        int,
        msgspec.Meta(ge=1),
        setting(why="Events that may wait for one listener; a slower one is dropped."),
    ] = 4096
    waiting_bytes_max: Annotated[
        int,
        msgspec.Meta(ge=1),
        setting(why="Size of the events that may wait for one listener; a slower one is dropped."),
    ] = 1_048_576


class Fanout:
    """EVENTS for the listeners of this process."""

    def __init__(self, settings: FanoutSettings) -> None:
        self._settings = settings
        self._topics: dict[Topic, dict[ListenerQueue, None]] = {}
        self._listeners = 0
        self._is_stopped = False

    @property
    def listeners(self) -> int:
        """How many listen now."""
        return self._listeners

    @property
    def topics(self) -> int:
        """How many topics are listened to now."""
        return len(self._topics)

    def listened(self) -> list[Topic]:
        """The topics that are listened to now."""
        return list(self._topics)

    def publish(self, project: str, topic: str, batch: Sequence[Emission]) -> None:
        """Hand a batch to whoever listens now. Never raises, never blocks."""
        queues = self._topics.get((project, topic))
        if queues is None or not batch:
            return
        size = sum([len(emission.data) for emission in batch])
        slow = [queue for queue in queues if not queue.put(batch, size)]
        for queue in slow:
            self._leave((project, topic), queue)

    def close(self, project: str, topic: str) -> None:
        """End the topic: its listeners stop once they have read what was published."""
        for queue in self._topics.pop((project, topic), ()):
            queue.close()

    def drop(self, project: str, topic: str, reason: str = "others go on with it") -> None:
        """Have the topic's listeners read again what they may have missed."""
        for queue in self._topics.pop((project, topic), ()):
            queue.drop(ListenerDropped(reason))

    @asynccontextmanager
    async def subscribe(
        self, project: str, topic: str, *, here: bool = False
    ) -> AsyncIterator[Listener]:
        """Listen from now on. Raises Problem (TOO_BUSY) where too many listen already."""
        limit = self._settings.listeners_max
        if self._listeners >= limit:
            raise Problem(
                TOO_BUSY, headers={"retry-after": str(RETRY_S)}, reason=f"{limit} listeners."
            )
        queue = ListenerQueue(
            events_max=self._settings.waiting_events_max,
            bytes_max=self._settings.waiting_bytes_max,
        )
        if self._is_stopped:
            queue.drop(EventsStopped())
        else:
            self._topics.setdefault((project, topic), {})[queue] = None
        self._listeners += 1
        try:
            yield queue
        finally:
            self._listeners -= 1
            self._leave((project, topic), queue)

    def stop(self) -> None:
        """Drop every listener, now and later: the topics go on, but not here."""
        self._is_stopped = True
        for queues in self._topics.values():
            for queue in queues:
                queue.drop(EventsStopped())
        self._topics.clear()

    def _leave(self, key: Topic, queue: ListenerQueue) -> None:
        queues = self._topics.get(key)
        if queues is None:
            return
        queues.pop(queue, None)
        if not queues:
            del self._topics[key]
