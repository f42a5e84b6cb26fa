"""The stream of a run from any place on: our own addition to the API."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

from famulus import Call, EventStream, operation
from famulus.resources import found
from famulus_runs.frames import RunFrames
from famulus_runs.listening import Listening
from famulus_runs.positions import START, Position, parse
from famulus_runs.replay import Replay, Telling
from famulus_schemas.errors import INVALID, Problem
from famulus_schemas.events import AssistantStreamEvent
from famulus_schemas.ports import Emission
from famulus_schemas.runs import Run

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
) -> RunFrames:
    """The frames of a run's stream from a place on."""
    listening, replay = _reader(plugin, project, thread_id, run_id, after)
    await listening.open(here=plugin.runner.live(project, run_id) is not None)
    return RunFrames(replay.frames(), listening)


async def new_frames(
    plugin: Runs, project: str, run: Run, first: Sequence[Emission], *, here: bool
) -> RunFrames:
    """The frames of a run that is about to begin or go on, `here` or wherever there is room."""
    listening, replay = _reader(plugin, project, run.thread_id, run.id, START)
    await listening.open(here=here)
    return RunFrames(replay.frames(first), listening)


def _reader(
    plugin: Runs, project: str, thread_id: str, run_id: str, after: Position
) -> tuple[Listening, Replay]:
    def live() -> Telling | None:
        found = plugin.runner.live(project, run_id)
        return found.journal if found is not None else None

    listening = Listening(
        plugin.events,
        project,
        run_id,
        is_here=lambda: live() is not None,
        readers=plugin.readers,
    )
    records = plugin.records.of(project)
    replay = Replay(records, listening, live=live, thread_id=thread_id, run_id=run_id, after=after)
    return listening, replay
