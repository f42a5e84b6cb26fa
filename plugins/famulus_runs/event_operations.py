"""The stream of a run from any place on: our own addition to the API."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING

import msgspec

from famulus import Call, EventStream, operation
from famulus.resources import found
from famulus_runs.positions import START, Position, parse
from famulus_runs.replay import Replay
from famulus_schemas.errors import INVALID, Problem
from famulus_schemas.events import AssistantStreamEvent
from famulus_schemas.ports import Listener

if TYPE_CHECKING:
    from famulus_runs.plugin import Runs

LAST_EVENT_ID = "last-event-id"


class EventQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Where to begin: the id of the last event that was received, or the start."""

    after: str | None = None


class EventOperations:
    """What clients may hear of a run again."""

    def __init__(self, plugin: Runs) -> None:
        self._plugin = plugin

    @operation("GET", "/v1/threads/{thread_id}/runs/{run_id}/events", action="runs.read")
    async def stream_run_events(
        self, call: Call, thread_id: str, run_id: str, query: EventQuery
    ) -> EventStream[AssistantStreamEvent]:
        """Stream a run's events, from the first or from after `Last-Event-ID`, live to the end."""
        plugin = self._plugin
        records = plugin.records.of(call.project)
        await found(records, "run", run_id, thing="run", parent=thread_id)
        after = _place(query.after or call.headers.get(LAST_EVENT_ID), run_id)
        return EventStream(await replay_frames(plugin, call.project, thread_id, run_id, after))


def _place(text: str | None, run_id: str) -> Position:
    if text is None:
        return START
    parsed = parse(text)
    if parsed is None or parsed[0] != run_id:
        reason = f"{text!r} is no event id of run {run_id}."
        raise Problem(INVALID, param="after", name="after", reason=reason)
    return parsed[1]


async def replay_frames(
    plugin: Runs, project: str, thread_id: str, run_id: str, after: Position
) -> ReplayFrames:
    """The frames of a run's stream from a place on."""
    records = plugin.records.of(project)
    frames = ReplayFrames(plugin.events.subscribe(project, run_id))
    listener = await frames.open()
    live = plugin.runner.live(project, run_id)
    replay = Replay(records, thread_id=thread_id, run_id=run_id, after=after)
    frames.source = replay.frames(listener, live.journal if live else None)
    return frames


class ReplayFrames:
    """Frames with the subscription that they come from; closing one closes the other."""

    def __init__(self, subscription: AbstractAsyncContextManager[Listener]) -> None:
        self._subscription: AbstractAsyncContextManager[Listener] | None = subscription
        self.source: AsyncGenerator[bytes, None] | None = None

    async def open(self) -> Listener:
        """Begin to listen."""
        assert self._subscription is not None
        return await self._subscription.__aenter__()

    def __aiter__(self) -> ReplayFrames:
        return self

    async def __anext__(self) -> bytes:
        if self.source is None:
            raise StopAsyncIteration
        return await anext(self.source)

    async def aclose(self) -> None:
        """Stop listening."""
        if self.source is not None:
            await self.source.aclose()
        if self._subscription is not None:
            subscription, self._subscription = self._subscription, None
            await subscription.__aexit__(None, None, None)
