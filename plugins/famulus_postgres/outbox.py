"""What waits to be told to the other processes: gathered topic by topic, and bounded."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence

from famulus.fanout import Topic
from famulus_postgres.envelopes import Carried, Closed, Hello, Lost, Message, Said, Wanted
from famulus_schemas.ports import Emission


class Outbox:
    """Takes what is to be told, without waiting, until the line takes it all at once.

    What does not fit, or cannot be sent, is turned into the notice that it was lost.
    """

    def __init__(self, *, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self._bytes = 0
        self._said: dict[Topic, list[Emission | None]] = {}
        """None stands for the end of the topic."""
        self._lost: dict[Topic, None] = {}
        self._wanted: dict[Topic, None] = {}
        self._is_hello_due = False
        self._is_line_open = False
        self._awake = asyncio.Event()

    def say(self, topic: Topic, batch: Sequence[Emission]) -> None:
        """Have events of a topic told."""
        if not self._can_hold(topic):
            return
        self._said.setdefault(topic, []).extend(batch)
        self._bytes += sum([len(emission.data) for emission in batch])
        if self._bytes > self._bytes_max:
            self._lose(self._said)
        self._awake.set()

    def close(self, topic: Topic) -> None:
        """Have the end of a topic told."""
        if self._can_hold(topic):
            self._said.setdefault(topic, []).append(None)
            self._awake.set()

    def _can_hold(self, topic: Topic) -> bool:
        if topic in self._lost:
            return False
        if not self._is_line_open:
            self._lost[topic] = None
        return self._is_line_open

    def want(self, topics: Iterable[Topic]) -> None:
        """Have it told that this process listens to topics."""
        # Without a line nobody hears it; once there is one again, all of them are told.
        if self._is_line_open:
            self._wanted.update(dict.fromkeys(topics))
            self._awake.set()

    def open_line(self) -> None:
        """There is somebody to take it, who first asks the others what they listen to."""
        self._is_line_open = True
        self._is_hello_due = True
        self._awake.set()

    def shut_line(self, unsent: Iterable[Message] = ()) -> None:
        """There is nobody to take it; what was taken and not sent is lost, as what waits is."""
        self._is_line_open = False
        self._wanted.clear()
        self._lose(self._said)
        self._lose((m.project, m.topic) for m in unsent if isinstance(m, (Said, Closed, Lost)))

    def _lose(self, topics: Iterable[Topic]) -> None:
        self._lost.update(dict.fromkeys(topics))
        self._said = {}
        self._bytes = 0

    async def wait(self) -> None:
        """Return once there is something to take, or `wake` was called."""
        await self._awake.wait()

    def wake(self) -> None:
        """Have whoever waits look up."""
        self._awake.set()

    def take(self) -> list[Message]:
        """All that waits; what others must know first comes first."""
        self._awake.clear()
        messages: list[Message] = [Hello()] if self._is_hello_due else []
        if self._wanted:
            messages.append(Wanted(list(self._wanted)))
        messages += [Lost(*topic) for topic in self._lost]
        for topic, entries in self._said.items():
            messages += _of_topic(topic, entries)
        self._is_hello_due = False
        self._wanted, self._lost, self._said, self._bytes = {}, {}, {}, 0
        return messages


def _of_topic(topic: Topic, entries: Sequence[Emission | None]) -> list[Message]:
    """A topic's entries, those in one message that come right after each other."""
    messages: list[Message] = []
    carried: list[Carried] = []
    for entry in entries:
        if entry is None:
            messages.append(Closed(*topic))
            carried = []
            continue
        if not carried or carried[-1].position != entry.after:
            carried = []
            messages.append(Said(*topic, entry.after, carried))
        carried.append(Carried(entry.name, entry.data, entry.position))
    return messages
