"""Threads that are deleted, by a client or by their age, with all that must follow from it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from famulus import Problem, missing
from famulus.failpoints import failpoint
from famulus_schemas.errors import TOO_BUSY
from famulus_schemas.identity import Principal
from famulus_schemas.records import Clear, Conflict, Delete, Guard, Record, Unit
from famulus_schemas.retention import DataKind, Idle, Removed
from famulus_threads.kinds import decode_message
from famulus_threads.occupancy import is_free, occupancy_of, unchanged

if TYPE_CHECKING:
    from famulus_threads.plugin import ThreadsPlugin

DELETE_ATTEMPTS_MAX = 16
"""A thread's run moves on only so often while the thread is being deleted."""


class Removal:
    """Deletes threads, and says which are old."""

    def __init__(self, plugin: ThreadsPlugin) -> None:
        self._plugin = plugin

    async def delete(self, principal: Principal, thread_id: str) -> None:
        """Delete a thread, its messages, and all that other plugins keep under it.

        Raises Problem (404) where there is none.
        """
        records = self._plugin.records.of(principal.project)
        for _ in range(DELETE_ATTEMPTS_MAX):
            occupancy = await occupancy_of(records, thread_id)
            # Whoever keeps things for its runs must know all of them.
            guards = is_free(thread_id) if occupancy is None else [unchanged(occupancy)]
            if not await self._try(principal, thread_id, guards):
                # What others keep under it has changed: they must look again.
                continue
            tenant = self._plugin.house.tenant
            if occupancy is not None and tenant is not None:
                tenant.orphaned(principal.project, occupancy.runs)
            return
        raise Problem(TOO_BUSY, reason=f"thread {thread_id} is being changed by many. Try again.")

    async def _try(
        self, principal: Principal, thread_id: str, guards: Unit, *, until: int | None = None
    ) -> bool:
        """Delete a thread; False where that is refused. Raises Problem where there is none.

        With `until` it is refused where there is a message past that `seq`.
        """
        unit: Unit = [
            *guards,
            Delete(kind="thread", id=thread_id),
            Clear(kind="message", parent=thread_id, until=until),
            Clear(kind="active_run", parent=thread_id),
        ]
        joined = await self._plugin.joined(principal, "threads.delete", unit)
        failpoint("thread_delete_before_commit")
        try:
            await self._plugin.records.of(principal.project).commit(_guards_first(joined))
        except Conflict as conflict:
            if conflict.kind == "thread":
                raise missing("thread", thread_id) from conflict
            return False
        failpoint("thread_deleted")
        return True

    # --- by age -------------------------------------------------------------------------------

    def kinds(self) -> list[DataKind]:
        """Threads, and messages for those that say whose they are."""
        return [
            DataKind(
                name="threads",
                kind="thread",
                age="since its newest message, or since it was made where it has none",
                last_used=self.last_used,
                delete=self._delete_old,
                named_by="metadata",
                names_only=("thread",),
            ),
            DataKind(
                name="messages", kind="message", delete=self._delete_message, named_by="metadata"
            ),
        ]

    async def last_used(self, record: Record) -> int | None:
        """When the newest message was made; None while a run has the thread."""
        records = self._plugin.records.of(record.project)
        if await occupancy_of(records, record.id) is not None:
            return None
        return _used(record, await self._newest(record))

    async def _newest(self, record: Record) -> Record | None:
        """The message that was written last."""
        records = self._plugin.records.of(record.project)
        return next(iter((await records.page("message", record.id, limit=1)).records), None)

    async def _delete_old(
        self, principal: Principal, record: Record, idle: Idle | None
    ) -> Removed | None:
        try:
            if idle is None:
                await self.delete(principal, record.id)
            elif not await self._try_idle(principal, record, idle):
                return None
        except Problem as problem:
            if problem.status == 404:
                return None
            raise
        return Removed()

    async def _try_idle(self, principal: Principal, record: Record, idle: Idle) -> bool:
        """Delete a thread unless somebody writes to it: then either that is refused, or this is."""
        newest = await self._newest(record)
        if _used(record, newest) != idle.since:
            return False
        guards = [*is_free(record.id), *idle.unneeded]
        until = 0 if newest is None else newest.seq
        return await self._try(principal, record.id, guards, until=until)

    async def _delete_message(
        self, principal: Principal, record: Record, idle: Idle | None
    ) -> Removed | None:
        message = decode_message(record.body)
        unit: Unit = [Delete(kind="message", id=message.id)]
        joined = await self._plugin.joined(principal, "messages.erase", unit)
        try:
            await self._plugin.records.of(principal.project).commit(joined)
        except Conflict:
            return None
        return Removed()


def _used(record: Record, newest: Record | None) -> int:
    """When a thread was last used whose newest message that is."""
    return max(record.created_at, 0 if newest is None else newest.created_at)


def _guards_first(unit: Unit) -> Unit:
    """The unit, judged by what is stored and not by what it clears itself."""
    return sorted(unit, key=lambda write: not isinstance(write, Guard))
