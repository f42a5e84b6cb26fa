"""What every stored resource does alike: be found or not, be changed without a lock, be deleted."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import TypeVar

import msgspec

from famulus.failpoints import failpoint
from famulus_schemas.errors import NOT_FOUND, TOO_BUSY, Fault, Problem
from famulus_schemas.identity import Principal
from famulus_schemas.ports import Files, Stores
from famulus_schemas.records import Conflict, Record, Records, Replace, Unit
from famulus_schemas.tool_resources import named_stores, settled, wanted_store
from famulus_schemas.tools import CreateToolResources, ToolResources

MODIFY_ATTEMPTS_MAX = 64
"""Of many changes of one record at once, one is written each time: this many can meet."""

STORE_ATTEMPTS_MAX = 32
"""Of many who add files to one vector store at once, one comes in each time: this many can meet."""

T = TypeVar("T")
Join = Callable[[Unit], Awaitable[Unit]]
"""Adds what other plugins must have committed together with a unit."""


async def alone(unit: Unit) -> Unit:
    """A unit that nobody joins."""
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
    join: Join = alone,
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


async def require_stores(
    stores: Stores | None,
    project: str,
    resources: CreateToolResources | ToolResources | msgspec.UnsetType | None,
    *,
    within: str = "",
) -> None:
    """Raise Problem (404) for a vector store that resources name and that is not there.

    Where nobody has stores, they are only names.
    """
    named = named_stores(resources, within=within)
    if stores is not None and named:
        await stores.require(project, named)


async def settle_resources(
    stores: Stores | None,
    project: str,
    resources: CreateToolResources | None,
    *,
    within: str = "",
    by: Principal | None = None,
) -> tuple[ToolResources, Unit]:
    """What is kept of the tool resources given at a creation, and the writes of a store for them.

    Raises Problem for what cannot be had; the parameter that it names begins with `within`. The
    store's files are read `by` whoever asks for it, where that is known.
    """
    wanted = wanted_store(resources, within=within)
    if wanted is None or stores is None:
        await require_stores(stores, project, resources, within=within)
        return settled(resources, within=within), []
    name, request = wanted
    made, unit = await stores.create(project, request, named=name, by=by)
    return settled(resources, within=within, made=made), unit


async def while_stores_change(attempt: Callable[[], Awaitable[T]]) -> T:
    """Attempt it again while a vector store, or the thread that is to have it, changes meanwhile.

    Raises Problem (503) after too many attempts.
    """
    for _ in range(STORE_ATTEMPTS_MAX):
        try:
            return await attempt()
        except Conflict as conflict:
            if not is_of_stores(conflict):
                raise
    raise Problem(TOO_BUSY, reason="a vector store is being changed by many at once. Try again.")


def is_of_stores(conflict: Conflict) -> bool:
    """Whether a unit was refused because a store, or its thread, is another than it was."""
    is_of_thread = (conflict.kind, conflict.reason) == ("thread", "version")
    return is_of_thread or conflict.kind.startswith("vector_store")
