"""What every stored resource does alike: be found or not, be changed without a lock, be deleted."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from famulus.failpoints import failpoint
from famulus_schemas.errors import NOT_FOUND, TOO_BUSY, Fault, Problem
from famulus_schemas.ports import Files
from famulus_schemas.records import Conflict, Record, Records, Replace, Unit

MODIFY_ATTEMPTS_MAX = 64
"""Of many changes of one record at once, one is written each time: this many can meet."""

Join = Callable[[Unit], Awaitable[Unit]]
"""Adds what other plugins must have committed together with a unit."""


async def _alone(unit: Unit) -> Unit:
    return unit


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
    change: Callable[[Record], Replace | None],
    parent: str = "",
    join: Join = _alone,
) -> bytes:
    """Read, change and write back, again while others were faster; the body as it now is.

    `change` answers None where there is nothing to change. Raises Problem: 404 where there is no
    such record, 503 after too many lost races.
    """
    for _ in range(MODIFY_ATTEMPTS_MAX):
        record = await found(records, kind, id, thing=thing, parent=parent)
        replacement = change(record)
        if replacement is None:
            return record.body
        failpoint("modify_before_commit")
        try:
            await records.commit(await join([replacement]))
        except Conflict:
            continue
        failpoint("modified")
        return record.body if replacement.body is None else replacement.body
    raise Problem(TOO_BUSY, reason=f"{thing} {id} is being changed by many at once. Try again.")


async def require_files(files: Files | None, project: str, named: Mapping[str, str]) -> None:
    """Raise Problem (400) for the first of these files that is not there.

    `named` is the parameter of each, and its id. Where nobody keeps files, they are only names.
    """
    if files is not None and named:
        await files.require(project, named)
