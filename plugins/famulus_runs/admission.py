"""A new run's way onto its thread: at once where that is free, else as `on_busy` says."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypedDict

import msgspec

from famulus_runs.kinds import AWAITS_TURN, JOB, RunExtra, encode, encode_extra, run_index
from famulus_runs.log import log_writes
from famulus_runs.positions import Position
from famulus_schemas.errors import ACTIVE_RUN, NOT_FOUND, QUEUE_FULL, TOO_BUSY, Problem
from famulus_schemas.identity import Principal
from famulus_schemas.jobs import Ticket, given_back_unless_done
from famulus_schemas.ports import Emission, Occupancy
from famulus_schemas.records import Conflict, Insert, Unit
from famulus_schemas.runs import Run
from famulus_schemas.threads import OnBusy

if TYPE_CHECKING:
    from famulus_runs.plugin import Runs

ADMIT_ATTEMPTS_MAX = 128
"""Of many who line up for one thread at once, one comes in each time: this many can meet."""


class NewRun(msgspec.Struct, frozen=True, kw_only=True):
    """A run that is to be made, and what is committed with it."""

    run: Run
    extra: RunExtra
    before: Callable[[Occupancy | None], Unit]
    """What comes before it, its thread or its messages, behind those who are there already."""
    emissions: Sequence[Emission]
    at: Position

    @property
    def as_job(self) -> JobOfRun:
        """What its job says of it."""
        return {
            "priority": self.extra.priority,
            "principal": self.extra.principal,
            "model": self.run.model,
        }


class JobOfRun(TypedDict):
    """What the job of a run says of it."""

    priority: int
    principal: str
    model: str


class Admission:
    """Lets one client's new runs onto threads."""

    def __init__(self, plugin: Runs, principal: Principal, on_busy: OnBusy) -> None:
        self._plugin = plugin
        self._principal = principal
        self._project = principal.project
        self._on_busy = on_busy

    async def admit(self, new: NewRun) -> Ticket | None:
        """Commit a new run; the ticket of its job, or None where it waits for its turn.

        Raises Problem where its thread is gone, or busy and not to be had.
        """
        plugin = self._plugin
        behind: Occupancy | None = None
        for _ in range(ADMIT_ATTEMPTS_MAX):
            ticket = None
            if behind is None:
                ticket = plugin.jobs.enqueue(self._project, JOB, new.run.id, **new.as_job)
            try:
                with given_back_unless_done(plugin.jobs, ticket):
                    await self._commit(new, ticket, behind)
            except Conflict as conflict:
                if conflict.kind == "thread" and conflict.reason == "missing":
                    raise Problem(NOT_FOUND, thing="thread", id=new.run.thread_id) from conflict
                if conflict.kind != "active_run":
                    raise
                behind = await self._behind(new.run.thread_id)
            else:
                return ticket
        reason = f"thread {new.run.thread_id} is wanted by many. Try again."
        raise Problem(TOO_BUSY, reason=reason)

    async def _commit(self, new: NewRun, ticket: Ticket | None, behind: Occupancy | None) -> None:
        plugin = self._plugin
        if ticket is not None:
            plugin.hold_place_for(ticket)
        unit = self._unit(new, ticket, behind)
        joined = await plugin.joined(self._principal, "runs.create", unit)
        await plugin.records.of(self._project).commit(joined)

    def _unit(self, new: NewRun, ticket: Ticket | None, behind: Occupancy | None) -> Unit:
        run, plugin = new.run, self._plugin
        if behind is None:
            place = plugin.threads.occupy(run.thread_id, run.id)
        else:
            place = plugin.threads.line_up(behind, run.id)
        of_job = (
            ticket.unit if ticket else plugin.jobs.shelve(self._project, JOB, run.id, **new.as_job)
        )
        insert = Insert(
            kind="run",
            id=run.id,
            parent=run.thread_id,
            created_at=run.created_at,
            body=encode(run),
            extra=encode_extra(new.extra),
            index=run_index(run) if ticket else AWAITS_TURN,
        )
        log = log_writes(run.id, run.thread_id, new.emissions, at=new.at)
        return [*new.before(behind), *place, insert, *log, *of_job]

    async def _behind(self, thread_id: str) -> Occupancy | None:
        """Whom to wait for at a thread that was not free; None where it may be free now."""
        plugin = self._plugin
        occupancy = await plugin.threads.occupancy(self._project, thread_id)
        if occupancy is None:
            return None
        if self._on_busy == "queue":
            limit = plugin.settings.runs_per_thread_waiting_max
            if len(occupancy.waiting) >= limit:
                raise Problem(QUEUE_FULL, thread=thread_id, limit=limit)
            return occupancy
        if self._on_busy == "cancel":
            await plugin.evict(self._project, thread_id)
            return None
        # In a task of its own: what it commits is no part of what the request is to commit.
        if not await asyncio.create_task(plugin.expire(self._project, occupancy.run)):
            raise Problem(ACTIVE_RUN, thread=thread_id, run=occupancy.run)
        return None
