"""Topics and who listens to them; a topic nobody listens to takes no memory."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from famulus_events.queue import ListenerQueue
from famulus_events.settings import EventsSettings
from famulus_schemas.errors import TOO_BUSY, Problem
from famulus_schemas.ports import Emission, Listener

RETRY_S = 1


class Fanout:
    """EVENTS for the listeners of this process."""

    def __init__(self, settings: EventsSettings) -> None:
        self._settings = settings
        self._topics: dict[tuple[str, str], dict[ListenerQueue, None]] = {}
        self._listeners = 0

    @property
    def listeners(self) -> int:
        """How many listen now."""
        return self._listeners

    @property
    def topics(self) -> int:
        """How many topics are listened to now."""
        return len(self._topics)

    def publish(self, project: str, topic: str, batch: Sequence[Emission]) -> None:
        """Hand a batch to whoever listens now. Never raises, never blocks."""
        queues = self._topics.get((project, topic))
        if queues is None or not batch:
            return
        size = sum(len(emission.data) for emission in batch)
        slow = [queue for queue in queues if not queue.put(batch, size)]
        for queue in slow:
            self._leave((project, topic), queue)

    def close(self, project: str, topic: str) -> None:
        """End the topic: its listeners stop once they have read what was published."""
        for queue in self._topics.pop((project, topic), ()):
            queue.close()

    @asynccontextmanager
    async def subscribe(self, project: str, topic: str) -> AsyncIterator[Listener]:
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
        self._topics.setdefault((project, topic), {})[queue] = None
        self._listeners += 1
        try:
            yield queue
        finally:
            self._listeners -= 1
            self._leave((project, topic), queue)

    def stop(self) -> None:
        """Drop every listener: the topics go on, but not here."""
        for queues in self._topics.values():
            for queue in queues:
                queue.drop("the server is being stopped")
        self._topics.clear()

    def _leave(self, key: tuple[str, str], queue: ListenerQueue) -> None:
        queues = self._topics.get(key)
        if queues is None:
            return
        queues.pop(queue, None)
        if not queues:
            del self._topics[key]
