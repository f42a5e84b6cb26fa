"""One run at a time has a thread; meanwhile others wait for it, or nobody else may write to it.

The lock is a record, and every write that it forbids carries a guard on it. So it holds exactly,
in several processes too: either the message is committed first, and the run sees it, or the run
is, and the message is refused.

The runs that wait for the thread are named in the same record, in their order. Whoever lines up,
leaves, or posts a message behind them commits against the version that it has read, so that there
is one order of all of it, and no run can end without its successor being seen. Where the thread was
free meanwhile, versions begin anew; so each time that it is busy has a fence of its own, too.
"""

from __future__ import annotations

from hashlib import blake2b

import msgspec

from famulus_schemas.ports import Occupancy
from famulus_schemas.records import Clear, Guard, Insert, Records, Replace, Unit


class ActiveRun(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Which run has the thread, and which wait for it."""

    run: str
    waiting: tuple[str, ...] = ()


_decode = msgspec.json.Decoder(ActiveRun).decode
_encode = msgspec.json.encode


def occupy(thread_id: str, run_id: str, *, now: int) -> Unit:
    """The writes that give a thread to a run; refused where there is none, or it is taken."""
    return [
        is_there(thread_id),
        Insert(
            kind="active_run",
            id=thread_id,
            parent=thread_id,
            created_at=now,
            body=_encode(ActiveRun(run=run_id)),
            fence=_busy_time(run_id),
        ),
    ]


def _busy_time(run_id: str) -> int:
    """What tells the time that begins with this run from all other times: versions begin anew."""
    return int.from_bytes(blake2b(run_id.encode(), digest_size=8).digest()) >> 1


def line_up(occupancy: Occupancy, run_id: str) -> Unit:
    """The writes that let a run wait behind all others; refused where those have changed."""
    return _handed(occupancy, occupancy.run, (*occupancy.waiting, run_id))


def leave(occupancy: Occupancy, run_id: str) -> tuple[Unit, str | None]:
    """The writes that take a run away from a thread, and the run that has it from then on."""
    if run_id in occupancy.waiting:
        left = tuple(one for one in occupancy.waiting if one != run_id)
        return _handed(occupancy, occupancy.run, left), None
    if run_id != occupancy.run:
        return [], None
    if occupancy.waiting:
        heir, *others = occupancy.waiting
        return _handed(occupancy, heir, tuple(others)), heir
    # Not Delete, which would leave a tombstone for each thread that ever ran.
    return [unchanged(occupancy), Clear(kind="active_run", parent=occupancy.thread)], None


def _handed(occupancy: Occupancy, run_id: str, waiting: tuple[str, ...]) -> Unit:
    body = _encode(ActiveRun(run=run_id, waiting=waiting))
    return [
        unchanged(occupancy),
        Replace(kind="active_run", id=occupancy.thread, version=occupancy.version, body=body),
    ]


def unchanged(occupancy: Occupancy) -> Guard:
    """Refuses a unit where the occupancy has changed since it was read."""
    return Guard(
        kind="active_run",
        id=occupancy.thread,
        version=occupancy.version,
        fence=occupancy.fence,
    )


def is_there(thread_id: str) -> Guard:
    """Refuses a unit where there is no such thread."""
    return Guard(kind="thread", id=thread_id)


def is_free(thread_id: str) -> Unit:
    """Refuses a unit where there is no such thread, or a run has it."""
    return [is_there(thread_id), Guard(kind="active_run", id=thread_id, absent=True)]


async def occupancy_of(records: Records, thread_id: str) -> Occupancy | None:
    """Who has the thread and who waits for it, if anybody does."""
    record = await records.get("active_run", thread_id)
    if record is None:
        return None
    body = _decode(record.body)
    return Occupancy(
        thread=thread_id,
        run=body.run,
        waiting=body.waiting,
        version=record.version,
        fence=record.fence,
    )
