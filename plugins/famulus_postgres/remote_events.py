"""EVENTS over every process of a database: fanned out here, and brought to those elsewhere."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import anyio

from famulus.fanout import Fanout
from famulus.log import Log
from famulus_postgres.envelopes import (
    TOPIC_CHARACTERS_MAX,
    Closed,
    Hello,
    Lost,
    Message,
    Packer,
    Said,
    Wanted,
)
from famulus_postgres.interests import AwaitedTopics, WantedTopics
from famulus_postgres.line import Line
from famulus_postgres.outbox import Outbox
from famulus_postgres.sessions import Sessions
from famulus_postgres.settings import PostgresSettings
from famulus_postgres.texts import is_storable
from famulus_schemas.health import Health
from famulus_schemas.identity import SYSTEM_PROJECT
from famulus_schemas.ports import Emission, Listener

UNSURE = "events of other processes may have been missed"


class RemoteEvents:
    """EVENTS of one process among several."""

    def __init__(
        self, settings: PostgresSettings, outbox: Outbox, *, now: Callable[[], float]
    ) -> None:
        self._settings = settings
        self._outbox = outbox
        self._fanout = Fanout(settings)
        self._wanted = WantedTopics(
            keep_s=settings.interest_s, topics_max=settings.topics_elsewhere_max, now=now
        )
        self._awaited = AwaitedTopics(
            renew_s=settings.interest_s / 3, first_look_s=settings.first_look_s, now=now
        )

    # --- for those who publish and listen -----------------------------------------------------

    def publish(self, project: str, topic: str, batch: Sequence[Emission]) -> None:
        """As Events.publish."""
        self._fanout.publish(project, topic, batch)
        if batch and self._is_for_others(project, topic):
            self._outbox.say((project, topic), batch)

    def close(self, project: str, topic: str) -> None:
        """As Events.close."""
        self._fanout.close(project, topic)
        if self._is_for_others(project, topic):
            self._outbox.close((project, topic))

    def drop(self, project: str, topic: str) -> None:
        """As Events.drop."""
        self._fanout.drop(project, topic)

    @asynccontextmanager
    async def subscribe(
        self, project: str, topic: str, *, here: bool = False
    ) -> AsyncIterator[Listener]:
        """As Events.subscribe."""
        async with self._fanout.subscribe(project, topic, here=here) as listener:
            if here or project == SYSTEM_PROJECT or not _is_carried(project, topic):
                yield listener
                return
            if self._awaited.join((project, topic)):
                self._outbox.want([(project, topic)])
            try:
                yield listener
            finally:
                self._awaited.leave((project, topic))

    def is_wanted(self, project: str, topic: str) -> bool:
        """Whether another process listens to it, as far as is known here."""
        return (project, topic) in self._wanted

    def __len__(self) -> int:
        """How many topics something is remembered of."""
        return len(self._wanted) + len(self._awaited) + self._fanout.topics

    def _is_for_others(self, project: str, topic: str) -> bool:
        if project == SYSTEM_PROJECT:
            return _is_carried(project, topic)
        return self.is_wanted(project, topic)

    # --- for the line -------------------------------------------------------------------------

    def opened(self) -> None:
        """There is a line, for the first time or again: what came meanwhile was not heard."""
        self._outbox.want(self._awaited.listened())
        for project, topic in self._fanout.listened():
            if project == SYSTEM_PROJECT:
                self._fanout.drop(project, topic, UNSURE)
        for project, topic in self._awaited.listened():
            self._fanout.drop(project, topic, UNSURE)

    def hear(self, messages: Sequence[Message]) -> None:
        """Take what another process says."""
        for message in messages:
            if isinstance(message, Said):
                self._awaited.hear((message.project, message.topic))
                self._fanout.publish(message.project, message.topic, message.emissions())
            elif isinstance(message, Closed):
                self._fanout.close(message.project, message.topic)
            elif isinstance(message, Lost):
                self._fanout.drop(message.project, message.topic, UNSURE)
            elif isinstance(message, Wanted):
                self._wanted.add(message.topics)
            elif isinstance(message, Hello):
                self._outbox.want(self._awaited.listened())

    async def watch(self) -> None:
        """Renew what the others know of us, and have quiet topics looked at, for ever."""
        while True:
            await asyncio.sleep(self._settings.first_look_s)
            self._wanted.forget_old()
            self._outbox.want(self._awaited.to_tell())
            for project, topic in self._awaited.to_look():
                self._fanout.drop(project, topic, UNSURE)

    def stop(self) -> None:
        """Drop every listener: the topics go on, but not here."""
        self._fanout.stop()

    def health(self) -> Health:
        """Whether there is room for further listeners."""
        limit = self._settings.listeners_max
        if self._fanout.listeners < limit:
            return Health()
        return Health(status="degraded", detail=f"{limit} listeners, as many as listeners_max")


def _is_carried(project: str, topic: str) -> bool:
    name = project + topic
    return len(name) <= TOPIC_CHARACTERS_MAX and is_storable(name)


class Running:
    """Events at work, and the line under them."""

    def __init__(self, events: RemoteEvents, line: Line, *, close_s: float) -> None:
        self.events = events
        self._line = line
        self._close_s = close_s
        self._tasks = [asyncio.create_task(line.run()), asyncio.create_task(events.watch())]

    @property
    def down(self) -> str:
        """Why the other processes are not heard; empty while they are."""
        return self._line.down

    def health(self) -> Health:
        """Whether this process hears the others, and has room for listeners."""
        if self.down:
            detail = f"events of other processes are not heard: {self.down}"
            return Health(status="degraded", detail=detail)
        return self.events.health()

    async def end(self) -> None:
        """Drop every listener, and tell the others what still waits to be told."""
        self.events.stop()
        self._line.stop()
        await asyncio.wait(self._tasks[:1], timeout=self._close_s)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


@asynccontextmanager
async def running_events(
    sessions: Sessions, settings: PostgresSettings, *, sender: str, log: Log
) -> AsyncIterator[Running]:
    """Events that run until left; what waits to be told by then is told first."""
    outbox = Outbox(bytes_max=settings.notify_waiting_bytes_max)
    events = RemoteEvents(settings, outbox, now=asyncio.get_running_loop().time)
    line = Line(
        sessions,
        settings,
        log,
        outbox=outbox,
        packer=Packer(sender),
        on_open=events.opened,
        on_heard=events.hear,
    )
    running = Running(events, line, close_s=settings.close_s)
    try:
        await line.tried.wait()
        yield running
    finally:
        with anyio.CancelScope(shield=True):
            await running.end()
