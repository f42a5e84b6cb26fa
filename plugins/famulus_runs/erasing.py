"""Runs that are erased one by one, since they are somebody's on a thread that is not theirs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from famulus_runs.forgetting import Forgetting
from famulus_runs.kinds import ENDS, decode_run, decode_step
from famulus_schemas.errors import NOT_CANCELLABLE, NOT_CANCELLED, TOO_BUSY, Problem
from famulus_schemas.identity import Principal
from famulus_schemas.records import Conflict, Delete, Record, Unit
from famulus_schemas.retention import Data, DataKind, Idle, Removed

if TYPE_CHECKING:
    from famulus_runs.plugin import Runs

ATTEMPTS_MAX = 16
"""What is kept of a run that is over changes only so often while the run is being erased."""
AT_ONCE = 100
"""Records read, and events deleted, in one go."""


class RunData:
    """Runs, for whoever erases all that is of a person."""

    def __init__(self, plugin: Runs) -> None:
        self._plugin = plugin
        self._forgetting = Forgetting(plugin)

    def kinds(self) -> list[Data]:
        """Runs, which have no age of their own: they go with their threads."""
        return [
            DataKind(
                name="runs",
                kind="run",
                delete=self._delete,
                named_by="metadata",
                parts={
                    "step": lambda record: decode_step(record.body).run_id,
                    "run_event": lambda record: record.id.partition(".")[0],
                },
                forget=self._forgetting.forget,
            )
        ]

    # --- a run --------------------------------------------------------------------------------

    async def _delete(
        self, principal: Principal, record: Record, idle: Idle | None
    ) -> Removed | None:
        """Delete a run with its steps and events, what it wrote, and what was posted with it."""
        project, thread_id, run_id = principal.project, record.parent, record.id
        if not await self._end(project, run_id):
            return None
        # First what nobody could find any more once the run itself is gone.
        await self._delete_events(project, thread_id, run_id)
        for _ in range(ATTEMPTS_MAX):
            stored = await self._plugin.records.of(project).get("run", run_id)
            if stored is None:
                return None
            messages = await self._plugin.threads.written_with(project, thread_id, run_id)
            unit: Unit = [
                Delete(kind="run", id=run_id, version=stored.version),
                *[
                    Delete(kind="step", id=id)
                    for id in await self._steps(project, thread_id, run_id)
                ],
                *messages,
            ]
            joined = await self._plugin.joined(principal, "runs.erase", unit)
            try:
                await self._plugin.records.of(project).commit(joined)
            except Conflict:
                continue
            self._plugin.orphaned(project, [run_id])
            return Removed(ids=tuple(each.id for each in unit if isinstance(each, Delete)))
        raise Problem(TOO_BUSY, reason=f"run {run_id} is being changed by many. Try again.")

    async def _end(self, project: str, run_id: str) -> bool:
        """Have a run be over; False where there is none. Raises Problem where it goes on."""
        try:
            await self._plugin.cancel(project, run_id)
        except Problem as problem:
            if problem.fault is not NOT_CANCELLABLE:
                raise
        stored = await self._plugin.records.of(project).get("run", run_id)
        if stored is not None and decode_run(stored.body).status not in ENDS:
            seconds = self._plugin.settings.cancel_s
            raise Problem(NOT_CANCELLED, run=run_id, thread=stored.parent, seconds=seconds)
        return stored is not None

    async def _delete_events(self, project: str, thread_id: str, run_id: str) -> None:
        records, where = self._plugin.records.of(project), {"run": run_id}
        while (
            page := await records.page("run_event", thread_id, where=where, limit=AT_ONCE)
        ).records:
            unit = [Delete(kind="run_event", id=each.id) for each in page.records]
            try:
                await records.commit(unit)
            except Conflict:
                # The thread was deleted, or somebody else erases the same.
                continue

    async def _steps(self, project: str, thread_id: str, run_id: str) -> list[str]:
        records, where = self._plugin.records.of(project), {"run": run_id}
        found: list[str] = []
        has_more = True
        while has_more:
            after = found[-1] if found else None
            page = await records.page("step", thread_id, where=where, after=after, limit=AT_ONCE)
            found += [each.id for each in page.records]
            has_more = page.has_more
        return found
