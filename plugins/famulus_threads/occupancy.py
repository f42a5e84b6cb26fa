"""One run at a time has a thread; meanwhile nobody else may write messages to it.

The lock is a record, and every write that it forbids carries a guard on it. So it holds exactly,
in several processes too: either the message is committed first, and the run sees it, or the run
is, and the message is refused.
"""

from __future__ import annotations

import msgspec

from famulus_schemas.errors import NOT_FOUND, THREAD_LOCKED, Problem
from famulus_schemas.records import Clear, Conflict, Guard, Insert, Records, Unit


class ActiveRun(msgspec.Struct, frozen=True, kw_only=True):
    """Which run has the thread."""

    run: str


_decode = msgspec.json.Decoder(ActiveRun).decode


def occupy(thread_id: str, run_id: str, *, now: int) -> Unit:
    """The writes that give a thread to a run; refused where there is none, or it is taken."""
    return [
        is_there(thread_id),
        Insert(
            kind="active_run",
            id=thread_id,
            parent=thread_id,
            created_at=now,
            body=msgspec.json.encode(ActiveRun(run=run_id)),
        ),
    ]


def vacate(thread_id: str) -> Unit:
    """The writes that take a thread from its run; never refused."""
    # Not Delete, which would leave a tombstone for each thread that ever ran.
    return [Clear(kind="active_run", parent=thread_id)]


def is_there(thread_id: str) -> Guard:
    """Refuses a unit where there is no such thread."""
    return Guard(kind="thread", id=thread_id)


def is_free(thread_id: str) -> Unit:
    """Refuses a unit where there is no such thread, or a run has it."""
    return [is_there(thread_id), Guard(kind="active_run", id=thread_id, absent=True)]


async def occupant(records: Records, thread_id: str) -> str | None:
    """The run that has the thread, if any."""
    record = await records.get("active_run", thread_id)
    return None if record is None else _decode(record.body).run


async def refusal(records: Records, thread_id: str, conflict: Conflict) -> Problem | None:
    """Why `is_free` refused; None where it would not do so any more."""
    if conflict.kind == "thread":
        return Problem(NOT_FOUND, thing="thread", id=thread_id)
    run_id = await occupant(records, thread_id)
    if run_id is None:
        return None
    return Problem(THREAD_LOCKED, thread=thread_id, run=run_id)
