"""What every stored resource does alike: be found or not, and be changed without a lock."""

from __future__ import annotations

from collections.abc import Callable

from famulus_schemas.errors import NOT_FOUND, TOO_BUSY, Fault, Problem
from famulus_schemas.records import Conflict, Record, Records, Write

MODIFY_ATTEMPTS_MAX = 16


async def found(
    records: Records, kind: str, id: str, *, thing: str, parent: str = "", fault: Fault = NOT_FOUND
) -> Record:
    """The record. Raises Problem (404) where there is none, or none under that parent."""
    record = await records.get(kind, id)
    if record is None or record.parent != parent:
        raise missing(thing, id, fault=fault)
    return record


def missing(thing: str, id: str, *, fault: Fault = NOT_FOUND) -> Problem:
    """The 404 for a thing that is not there, or is another project's."""
    return Problem(fault, thing=thing, id=id)


async def modify(
    records: Records,
    kind: str,
    id: str,
    *,
    thing: str,
    change: Callable[[Record], Write],
    parent: str = "",
) -> None:
    """Read, change and write back, again while others were faster.

    Raises Problem: 404 where there is no such record, 503 after too many lost races.
    """
    for _ in range(MODIFY_ATTEMPTS_MAX):
        record = await found(records, kind, id, thing=thing, parent=parent)
        try:
            await records.commit([change(record)])
        except Conflict:
            continue
        return
    raise Problem(TOO_BUSY, reason=f"{thing} {id} is being changed by many at once. Try again.")
