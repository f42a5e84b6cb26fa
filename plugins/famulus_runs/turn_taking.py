"""A thread's runs, one after the other: the commit that ends one gives the thread to the next.

A run that waits for its thread has a job that is laid aside. Whoever ends the run before it wakes
that job in the very same unit, so that no process can be lost between the two.
"""

from __future__ import annotations

import msgspec

from famulus_runs.kinds import JOB
from famulus_schemas.jobs import Jobs, Ticket, job_id
from famulus_schemas.ports import Threads
from famulus_schemas.records import Conflict, Unit

LEAVE_ATTEMPTS_MAX = 16


class Leave(msgspec.Struct, frozen=True, kw_only=True):
    """How a run that ends leaves its thread."""

    unit: Unit = ()
    """The writes. They are refused where others came or went since this was found out."""
    heir: Ticket | None = None
    """The job of the run that has the thread then: to be started once the unit is committed, or
    given back where it is not."""
    waited_for: str = ""
    """The run that has the thread, where this one only waits for it."""


async def leave_of(
    project: str, thread_id: str, run_id: str, *, threads: Threads, jobs: Jobs
) -> Leave:
    """How the run would leave its thread now."""
    for _ in range(LEAVE_ATTEMPTS_MAX):
        occupancy = await threads.occupancy(project, thread_id)
        if occupancy is None:
            # The thread is gone, and its runs with it.
            return Leave()
        unit, heir = threads.leave(occupancy, run_id)
        if heir is None:
            waits = run_id in occupancy.waiting
            return Leave(unit=unit, waited_for=occupancy.run if waits else "")
        try:
            ticket = await jobs.requeue(project, JOB, heir)
        except LookupError:
            # It has left, or was let in, since that was read.
            continue
        return Leave(unit=[*unit, *ticket.unit], heir=ticket)
    raise LookupError(f"the runs that wait for thread {thread_id} do not hold still")


def is_by_others(conflict: Conflict, run_id: str) -> bool:
    """Whether a run's unit was refused only because other runs of its thread came or went."""
    if conflict.kind == "job":
        return conflict.id != job_id(JOB, run_id)
    return conflict.kind == "active_run"
