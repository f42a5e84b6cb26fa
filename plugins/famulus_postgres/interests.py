"""Who listens to what: the topics that others want to hear of, and those awaited from others.

Only what somebody elsewhere listens to is sent there. That somebody does is told when it begins
and again and again, and forgotten where it is not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from famulus.fanout import Topic

_SLOWER: float = 4.0


class WantedTopics:
    """Topics that other processes listen to."""

    def __init__(self, *, keep_s: float, topics_max: int, now: Callable[[], float]) -> None:
        self._keep_s = keep_s
        self._topics_max = topics_max
        self._now = now
        self._until: dict[Topic, float] = {}

    def add(self, topics: Iterable[Topic]) -> None:
        """Somebody has just said that it listens to these."""
        until = self._now() + self._keep_s
        for topic in topics:
            # Taken out first, so that those that were told longest ago stand first.
            self._until.pop(topic, None)
            self._until[topic] = until
        while len(self._until) > self._topics_max:
            del self._until[next(iter(self._until))]

    def __contains__(self, topic: Topic) -> bool:
        until = self._until.get(topic)
        return until is not None and until > self._now()

    def __len__(self) -> int:
        return len(self._until)

    def forget_old(self) -> None:
        """Let go of those that nobody has asked for any more."""
        now = self._now()
        for topic, until in list(self._until.items()):
            if until > now:
                return
            del self._until[topic]


class _Awaited:
    __slots__ = ("due", "heard", "left", "listeners", "pause_s", "told")

    def __init__(self, now: float, pause_s: float) -> None:
        self.listeners = 0
        self.told = now
        """When the others were told of it."""
        self.left = now
        """When its last listener left."""
        self.heard = False
        """Whether anything came since it was looked at."""
        self.pause_s = pause_s
        self.due = now + pause_s
        """When to look at it again."""


class AwaitedTopics:
    """Topics of other processes that this one listens to.

    One of which nothing is heard may be quiet, or may have been told of before the others knew
    that we listen, or by a process that died before it could tell. So its listeners are made to
    look: soon at first, then rarely.
    """

    def __init__(self, *, renew_s: float, first_look_s: float, now: Callable[[], float]) -> None:
        self._renew_s = renew_s
        self._first_look_s = first_look_s
        self._now = now
        self._topics: dict[Topic, _Awaited] = {}

    def join(self, topic: Topic) -> bool:
        """Somebody begins to listen; whether the others must be told."""
        awaited = self._topics.get(topic)
        is_new = awaited is None
        if awaited is None:
            awaited = self._topics[topic] = _Awaited(self._now(), self._first_look_s)
        awaited.listeners += 1
        return is_new

    def leave(self, topic: Topic) -> None:
        """Somebody has stopped. The topic is kept for a while: who was dropped comes again."""
        if (awaited := self._topics.get(topic)) is not None:
            awaited.listeners -= 1
            awaited.left = self._now()

    def hear(self, topic: Topic) -> None:
        """Something of the topic has come."""
        if (awaited := self._topics.get(topic)) is not None:
            awaited.heard = True

    def listened(self) -> list[Topic]:
        """Those that somebody listens to now."""
        return [topic for topic, awaited in self._topics.items() if awaited.listeners]

    def __len__(self) -> int:
        return len(self._topics)

    def to_tell(self) -> list[Topic]:
        """Those that the others must be told of again; they are taken for told."""
        now = self._now()
        found = []
        for topic, awaited in list(self._topics.items()):
            if awaited.listeners and now - awaited.told >= self._renew_s:
                awaited.told = now
                found.append(topic)
            elif not awaited.listeners and now - awaited.left >= self._renew_s:
                del self._topics[topic]
        return found

    def to_look(self) -> list[Topic]:
        """Those that were quiet for as long as they may be."""
        now = self._now()
        found = []
        for topic, awaited in self._topics.items():
            if not awaited.listeners or awaited.due > now:
                continue
            if not awaited.heard:
                found.append(topic)
                awaited.pause_s = min(_SLOWER * awaited.pause_s, self._renew_s)
            awaited.heard = False
            awaited.due = now + awaited.pause_s
        return found
